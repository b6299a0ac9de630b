"""What the simulations share: deliberate defects, the search for them by seeds, and runs of many seeds."""
