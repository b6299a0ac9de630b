"""The README and the pages of docs/, taken at their word: every command is run, every configuration loaded."""
