"""Models of other libraries: where a plan's tensors stand in them, and their files as files of weights. No library of
tensors is imported."""
