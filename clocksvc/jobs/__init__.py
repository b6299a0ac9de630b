"""What is sent at ticks: due tasks are computed from schedules and handed to a task queue."""
