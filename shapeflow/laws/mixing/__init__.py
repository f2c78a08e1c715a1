"""From pilots to the law of a mixture."""
