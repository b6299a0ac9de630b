"""Mechanisms that every part of a process shares: worker threads, back-off between retries, and forks."""
