"""Delays between retries."""

import random

import pytest

from clocksvc.runtime.backoff import CONNECTION, Backoff, BackoffPolicy

pytestmark = pytest.mark.core


def test_the_delay_doubles_up_to_the_limit() -> None:
    """However many failures there are."""
    policy = BackoffPolicy(0.5, 3.0)

    assert [policy.delay_s(failures) for failures in (1, 2, 3, 4, 1_000_000)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_jitter_takes_away_up_to_half() -> None:
    """Clients that failed together don't return together; after a success the delay is the first one again."""
    backoff = Backoff(CONNECTION, random.Random(7))
    delays = [backoff.next() for _ in range(40)]
    backoff.reset()

    for failures, delay in enumerate(delays, 1):
        assert CONNECTION.delay_s(failures) / 2 <= delay <= CONNECTION.delay_s(failures)
    assert len(set(delays)) > 30
    assert backoff.next() <= CONNECTION.first_s
