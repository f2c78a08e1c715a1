"""IR: the data that the stages of the compiler pass to each other, and the parts of a plan."""
