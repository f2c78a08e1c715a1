"""Stages of the compiler, each a function `(input, report) -> output`. No stage imports another; only `compiler.py`
knows their order."""
