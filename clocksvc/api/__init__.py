"""The HTTP service: one file a resource. It reads views and feeds, and passes reports on; it decides nothing."""
