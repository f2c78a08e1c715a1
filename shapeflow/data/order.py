"""The help of the settings that order the windows of a text. Every data component of text has them."""

ORDER = "`epochs`: no token is a target twice in an epoch; `drawn`: random windows, which may overlap"
BLOCK = "for `order: epochs`: tokens of the blocks that are shuffled; default: from the contexts"
