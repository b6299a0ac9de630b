"""What applications embed: the reporter, `ticks`, `wait_until`, and their HTTP client."""
