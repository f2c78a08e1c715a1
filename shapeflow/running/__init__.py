"""Running plans: the loop and its machines, run folders, and experiments made of several runs."""
