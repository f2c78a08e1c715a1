"""What a training loop of one's own uses to carry out a plan: batches, and the edits of switches on one's own module.

`shapeflow.torch` offers these names."""
