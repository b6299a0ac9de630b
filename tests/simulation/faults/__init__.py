"""What can go wrong between any two steps. A fault acts from outside of all processes, on a FaultContext."""
