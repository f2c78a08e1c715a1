"""Fitting: from the runs of each shape to its law, its resamples, its hold-out and its verdict."""
