"""Joint laws over model size and data, E + A/N^alpha + B/D^beta: their fit, and the best size for a budget."""
