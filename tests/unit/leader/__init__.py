"""The leader: lease, fencing, recovery, steps; each error leads back to the phase that repairs it."""
