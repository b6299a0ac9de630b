"""Nested holds of upstream clocks: their size is bounded."""

from typing import Any

import pytest

from clocksvc.clock.upstream_hold import MAX_LEVELS, chain, cut_upstream

pytestmark = pytest.mark.core


def nested(levels: int) -> dict[str, Any] | None:
    """An upstream clock that waits for another one, and so on; the last one holds because of 50 partitions."""
    if levels == 0:
        return None
    upstream = nested(levels - 1)
    partitions = [] if upstream else [{"topic": "t", "partition": number} for number in range(50)]
    hold = {"reason": "r", "since": None, "partitions": partitions, "detail": "d" * 2_000, "upstream": upstream}
    return {"clock": f"c{levels}", "url": "", "time": None, "status": "holding", "hold": hold}


def test_a_chain_of_stages_is_kept() -> None:
    """Each level, with its first partitions and the beginning of its detail."""
    found = list(chain(cut_upstream(nested(3))))

    assert [stage["clock"] for stage in found] == ["c3", "c2", "c1"]
    assert [len(stage["hold"]["detail"]) for stage in found] == [1_000] * 3
    assert len(found[-1]["hold"]["partitions"]) == 10


def test_clocks_that_wait_for_each_other_do_not_grow() -> None:
    """Two installations can have a cycle. Each poll would add a level."""
    assert len(list(chain(cut_upstream(nested(100))))) == MAX_LEVELS


def test_an_upstream_clock_that_does_not_hold_is_the_last_one() -> None:
    """As is a clock without upstream clocks."""
    running = {"clock": "raw", "url": "", "time": None, "status": "running", "hold": None}

    assert cut_upstream(running) == running
    assert list(chain(running)) == [running]
    assert cut_upstream(None) is None
