"""A report of a plan, a run or a comparison: one HTML page that needs neither a network nor scripts."""
