"""Schedules at ticks: owns partitions of schedules, and appends what is due to the topic of due records."""
