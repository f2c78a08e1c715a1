"""Base: what everything else is written in. Nothing in this room imports another room."""
