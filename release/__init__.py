"""What a release needs: the version in all files, its notes, and the generated files of the chart.

The version is in pyproject.toml; every other place is written from it.
"""
