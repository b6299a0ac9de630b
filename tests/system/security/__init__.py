"""Secured servers with exactly the permissions that docs/security.md lists, and with each of them taken away."""
