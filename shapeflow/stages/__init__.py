"""Stages of the compiler. Each stage is a function that takes its input and a report, and returns its output.
`compiler.py` calls them in order."""
