"""What is shown: a diagnostic, a plan, a run, on the screen or as JSON."""
