"""Six mistakes at once, as `make mistakes` makes all of them: each is named in the log, by status and by check."""

from pathlib import Path

from tests.system.mistakes.catalogue import INVALID, MISTAKES, RIGHT
from tests.system.mistakes.invalid import commands_without_cause
from tests.system.mistakes.laboratory import Seen, running
from tests.waiting import eventually

CHOSEN = ("right", "seconds", "other-topic", "other-group", "copy-with-own-group", "far-back", "prefix")
WITHIN_S = 60.0


def test_each_is_named_and_none_makes_a_false_tick(
    tmp_path: Path, bootstrap: str, redis_url: str, key_prefix: str
) -> None:
    """The clock beside them ticks. What the page shows of them is tested by `make mistakes`."""
    chosen = [mistake for mistake in MISTAKES if mistake.name in CHOSEN]
    with running(tmp_path, bootstrap, redis_url, key_prefix, chosen) as laboratory:

        def all_named() -> bool:
            seen.update(laboratory.look(None))
            assert {name: one.missing() for name, one in seen.items() if one.missing()} == {}
            return True

        seen: dict[str, Seen] = {}
        eventually(all_named, within=WITHIN_S, what="each place to name each cause")
        eventually(lambda: laboratory.ticks(RIGHT) >= 3, within=WITHIN_S, what="ticks of the clock without a mistake")
        laboratory.end_consumers()
        laboratory.judge(seen)

    assert laboratory.empty_causes(seen) == []
    assert {name: one.false_ticks for name, one in seen.items() if one.false_ticks} == {}
    assert {name for name, one in seen.items() if one.ticks} == {"right"}
    assert all(one.records for one in seen.values())


def test_an_invalid_configuration_is_named(tmp_path: Path, bootstrap: str, redis_url: str, key_prefix: str) -> None:
    """The first of `INVALID`; the rest are in `make mistakes`, and in the unit tests of the settings."""
    assert commands_without_cause(tmp_path, bootstrap, redis_url, key_prefix, INVALID[:1]) == {INVALID[0].name: []}
