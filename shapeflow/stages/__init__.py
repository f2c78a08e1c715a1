"""Stages of the compiler, each a function `(input, report) -> output`. No stage imports another; `compiler.py` alone
knows their order."""
