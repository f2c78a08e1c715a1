"""Fit laws to the runs of each shape, with resampled intervals, a hold-out test and a verdict on reliability."""
