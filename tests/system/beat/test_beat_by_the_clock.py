"""An ordinary beat schedule by the clock, with real parts: each due entry once, in order, none before its tick."""

from collections.abc import Iterator

import pytest

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.beat.app import (
    LAST,
    SCHEDULED,
)
from tests.system.beat.run import (
    BEGIN,
    play,
    wrong_at_last,
)
from tests.system.beat.scene import (
    MINUTE_MS,
    Scene,
)

pytestmark = pytest.mark.path


@pytest.fixture
def scene(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Scene]:
    """A clock that begins in the night in which Europe's clocks are set back."""
    with ValkeyServer() as valkey:
        folder = tmp_path_factory.mktemp("beat")
        with Scene(folder, bootstrap, valkey.url, int(BEGIN.timestamp() * 1000)) as made:
            yield made


def test_beats_that_are_killed_lose_nothing(scene: Scene) -> None:
    """Two beats, one killed now and then: Celery's own schedule says what has to come."""
    outcome = play(scene, ticks=40, kills=3, seed=3)

    assert outcome.wrong == []
    assert (outcome.ticks, outcome.kills) == (40, 3)
    assert outcome.tasks > 100


def test_a_stop_is_made_up_for(scene: Scene) -> None:
    """30 ticks without any beat: all of it comes, in order; of the entry that wants only the last run, that one."""
    play(scene, ticks=2, kills=0, seed=1)
    since_ms, before = scene.at_ms, len(scene.sent())
    for name in ("beat-1", "beat-2"):
        scene.installation.end(name)
    for _ in range(30):
        scene.drive(1)
    scene.until_ticked()
    assert len(scene.sent()) == before

    scene.start_beat("beat-1")

    assert wrong_at_last(scene, since_ms, scene.at_ms) == []
    sent = scene.sent()[before:]
    assert len([one for one in sent if one.entry == LAST]) == 1
    assert len({one.entry for one in sent}) > 10
    for queue in {one.queue for one in sent}:  # a worker of several queues takes from each in turn
        in_order = [one.tick_ms for one in sent if one.queue == queue]
        assert in_order == sorted(in_order)
    assert since_ms + 30 * MINUTE_MS == scene.at_ms
    assert len(SCHEDULED) == 20
