"""Read training runs from log files of any supported format and from run folders that shapeflow wrote."""
