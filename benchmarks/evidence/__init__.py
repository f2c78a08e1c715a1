"""The pieces of `gpu_evidence.py`, and what they share."""
