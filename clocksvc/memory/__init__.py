"""The interfaces in memory: for tests, and for users' own tests."""
