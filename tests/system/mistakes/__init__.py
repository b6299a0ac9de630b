"""Mistakes of users, all in one installation: none may make a false tick, and each is named where they look."""
