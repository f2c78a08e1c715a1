"""`python -m shapeflow`: the same as the command `shapeflow`."""

from shapeflow.cli import main

main()
