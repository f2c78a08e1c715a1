"""IR: the data that the stages of the compiler hand on, and what a plan is made of."""
