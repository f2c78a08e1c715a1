"""Shows diagnostics, plans, runs and other results, on the screen or as JSON."""
