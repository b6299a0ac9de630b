"""The wheel and the sdist: what `python -m build` makes is complete, and runs where it is installed."""
