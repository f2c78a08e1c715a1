"""Logs: training runs out of files of any format, and out of shapeflow's own run folders."""
