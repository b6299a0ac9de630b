"""The core: values and pure functions. It does no I/O, reads no clock, and imports only `clocksvc.errors`."""
