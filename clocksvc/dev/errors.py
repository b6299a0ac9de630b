"""What child servers raise. Must not hold anything else."""

from clocksvc.errors import ClocksvcError


class DevServerError(ClocksvcError):
    """A child server could not be fetched, started or reached. Its log's last lines are in the message."""
