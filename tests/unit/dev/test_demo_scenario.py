"""The demo's scenario, and which runs succeed."""

from pathlib import Path

import pytest

from clocksvc.clock.tick import Tick
from clocksvc.dev.demo.delivery_checks import JobSequence, TickSequence
from clocksvc.dev.demo.demo import failure_reason
from clocksvc.dev.demo.scenario import Observation, Scenario, ScenarioAction

pytestmark = pytest.mark.core


def tick(at_s: int, previous_s: int | None) -> Tick:
    """A tick of a clock with an interval of 5 s."""
    return Tick("demo", at_s * 1000, None if previous_s is None else previous_s * 1000, 5_000, at_s * 1000)


def played(sights: list[Observation]) -> list[tuple[float, str, ScenarioAction | None]]:
    """When a new scenario returns each step for these observations."""
    story = Scenario()
    found = ((sight.now_s, story.next(sight)) for sight in sights)
    return [(now_s, scene.text, scene.act) for now_s, scene in found if scene is not None]


def a_run(until_s: int) -> list[Observation]:
    """An observation each second: the first tick at 6 s, one each 5 s, and a clock that reacts to the scenario."""
    story, sights, ticks, beating, last_tick_s = Scenario(), [], 0, True, 6
    for now_s in range(until_s):
        if beating and now_s >= 6 and now_s % 5 == 1:
            ticks += max(1, (now_s - last_tick_s) // 5)
            last_tick_s = now_s
        sights.append(Observation(float(now_s), ticks, ticks > 0 and now_s - last_tick_s > 7))
        scene = story.next(sights[-1])
        if scene is not None and scene.act is not None:
            beating = scene.act is ScenarioAction.START_HEARTBEATS
    return sights


def test_the_story_fits_into_forty_seconds() -> None:
    """Heartbeats stop, the hold is visible, heartbeats return, skipped ticks are displayed: all within 40 s."""
    scenes = played(a_run(40))

    assert [act for _, _, act in scenes] == [
        None,
        None,
        None,
        None,
        ScenarioAction.STOP_HEARTBEATS,
        ScenarioAction.START_HEARTBEATS,
        None,
    ]
    stopped_s, back_s = scenes[4][0], scenes[5][0]
    assert 10 <= stopped_s <= 20
    assert back_s - stopped_s >= 10
    assert "nothing was lost" in scenes[6][1]


def test_nothing_happens_before_the_first_tick() -> None:
    """The scenario waits for the first tick, without a limit."""
    assert played([Observation(float(now_s), 0, now_s > 10) for now_s in range(300)]) == []


def test_heartbeats_stay_away_until_the_hold_is_seen() -> None:
    """Heartbeats return only after the clock has reported a hold for a while."""
    sights = a_run(17) + [Observation(float(now_s), 3, False) for now_s in range(17, 300)]

    assert [act for _, _, act in played(sights) if act] == [ScenarioAction.STOP_HEARTBEATS]


def test_the_outage_comes_again_after_a_pause() -> None:
    """After its end the scenario repeats: heartbeats stop and return, with a minute between."""
    acts = [(now_s, act) for now_s, _, act in played(a_run(400)) if act]

    assert len(acts) >= 6
    assert [act for _, act in acts][:6] == [ScenarioAction.STOP_HEARTBEATS, ScenarioAction.START_HEARTBEATS] * 3
    assert all(stops[0] - back[0] >= 60 for back, stops in zip(acts[1::2], acts[2::2], strict=False))


@pytest.mark.parametrize(
    ("ticks", "trouble"),
    [
        ([tick(5, None), tick(10, 5), tick(15, 10)], None),
        ([tick(5, None), tick(15, 10)], "has the previous tick 10000"),
        ([tick(5, None), tick(15, 5)], "came where 10000 was due"),
        ([tick(5, None), tick(10, 5), tick(10, 5)], "has the previous tick 5000"),
        ([tick(10, None), tick(5, 10)], "came where 15000 was due"),
        ([tick(10, 5)], "has the previous tick 5000, but the tick before it was None"),
    ],
    ids=["whole", "lost", "lost, and the chain lies", "twice", "back", "does not begin with the first"],
)
def test_a_broken_chain_is_reported(ticks: list[Tick], trouble: str | None) -> None:
    """Every tick must name the tick before it and follow it by the interval."""
    chain = TickSequence(5_000)
    for one in ticks:
        chain.add(one)

    assert chain.count == len(ticks)
    if trouble is None:
        assert chain.problems == []
    else:
        assert trouble in chain.problems[0]


@pytest.mark.parametrize(
    ("seconds", "by_itself", "wrong"),
    [
        ([5, 10, 15], True, None),
        ([5, 10], True, "only 2 ticks came, wanted at least 3"),
        ([], False, None),
        ([5, 15], False, "ticks were missing, repeated or out of order"),
    ],
    ids=["good", "too few ticks", "ended by Ctrl-C before the first", "broken, ended by Ctrl-C"],
)
def test_what_makes_a_good_run(seconds: list[int], by_itself: bool, wrong: str | None) -> None:
    """A run with `--for` needs ticks, and no run may have a broken sequence."""
    chain = TickSequence(5_000)
    for previous_s, at_s in zip([None, *seconds], seconds, strict=False):
        chain.add(tick(at_s, previous_s))
    said = failure_reason(chain, JobSequence(Path("nowhere")), by_itself)

    assert said is None if wrong is None else said is not None and said.startswith(wrong)
