"""The chart's icon, and the table of its values in its README."""
