"""Runs plans: the loop and its machines, run folders, and experiments of several runs."""
