"""The keepers of the promise in `clocksvc/store.py`."""
