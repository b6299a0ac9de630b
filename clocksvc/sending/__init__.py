"""What is sent when the clock ticks: entries, when they are due, and where their tasks go. No I/O."""
