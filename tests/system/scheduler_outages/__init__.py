"""Schedulers under outages: an hour of the clock's time, compressed, with changes of schedules all the while."""
