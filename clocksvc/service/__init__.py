"""One service process: feeds, views and heartbeats, and `bootstrap`, which creates everything from the settings."""
