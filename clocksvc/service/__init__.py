"""The parts of one service process, and `bootstrap`, which builds them from settings."""
