"""Tests of clocksvc.schedules."""
