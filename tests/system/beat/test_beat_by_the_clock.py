"""A beat schedule that follows the clock, with real servers: each task is sent once, in order, not before its tick."""

from collections.abc import Iterator

import pytest

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.beat.app import LAST, SCHEDULED
from tests.system.beat.beat_installation import MINUTE_MS, BeatInstallation
from tests.system.beat.run import BEGIN, final_errors, run_with_kills

pytestmark = pytest.mark.path


@pytest.fixture
def beats(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[BeatInstallation]:
    """A clock that begins in the night in which daylight saving time ends in Europe."""
    with ValkeyServer() as valkey:
        folder = tmp_path_factory.mktemp("beat")
        with BeatInstallation(folder, bootstrap, valkey.url, int(BEGIN.timestamp() * 1000)) as opened:
            yield opened


def test_killed_beats_lose_no_task(beats: BeatInstallation) -> None:
    """Of two beats, one is killed at random moments. The expected tasks are those of Celery's own schedules."""
    outcome = run_with_kills(beats, ticks=40, kills=3, seed=3)

    assert outcome.errors == []
    assert (outcome.ticks, outcome.kills) == (40, 3)
    assert outcome.tasks > 100


def test_missed_tasks_are_sent_after_a_stop(beats: BeatInstallation) -> None:
    """After 30 ticks without a beat: all tasks, in order; of the entry with `catch_up: last` only the last."""
    run_with_kills(beats, ticks=2, kills=0, seed=1)
    since_ms, before = beats.at_ms, len(beats.received())
    for name in ("beat-1", "beat-2"):
        beats.installation.end(name)
    for _ in range(30):
        beats.advance(1)
    beats.wait_for_ticks()
    assert len(beats.received()) == before

    beats.start_beat("beat-1")

    assert final_errors(beats, since_ms, beats.at_ms) == []
    sent = beats.received()[before:]
    assert len([one for one in sent if one.entry == LAST]) == 1
    assert len({one.entry for one in sent}) > 10
    for queue in {one.queue for one in sent}:  # a worker of several queues reads them in turn
        in_order = [one.tick_ms for one in sent if one.queue == queue]
        assert in_order == sorted(in_order)
    assert since_ms + 30 * MINUTE_MS == beats.at_ms
    assert len(SCHEDULED) == 20
