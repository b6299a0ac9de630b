"""The README and the pages of docs/: every command is run, every configuration loaded."""
