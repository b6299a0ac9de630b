"""Jobs: computes at each tick which tasks of a schedule are due, and sends them to a task queue."""
