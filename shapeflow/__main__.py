"""`python -m shapeflow`: the same as the command."""

from shapeflow.cli import main

main()
