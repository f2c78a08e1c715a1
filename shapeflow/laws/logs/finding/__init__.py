"""Finds what the columns of a log are, by their names and their values together. A fit and doctor share it."""
