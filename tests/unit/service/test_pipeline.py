"""The pipeline around a clock: which stages it has, in which order, what each waits for, and which one is to blame."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from clocksvc.clock.holds import Hold, Reason, Status
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, Source, UpstreamSpec
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.observations import UpstreamObservation
from clocksvc.service.pipeline import (
    HIDDEN,
    MAX_PARTITIONS,
    MAX_STAGES,
    Pipeline,
    Stage,
    pipeline_from_wire,
    pipeline_to_wire,
    read_pipeline,
)
from clocksvc.service.public_state import ObserverState, PublicState
from tests.public_states import public_state

NOW_S = 10_000
OTHER = "https://clocksvc.other"
_FIRST = "raw"


def upstream(name: str) -> UpstreamSpec:
    """An upstream clock by its name, which ends with @ for one of another installation."""
    return UpstreamSpec(name.removesuffix("@"), OTHER if name.endswith("@") else "")


class World:
    """Clocks with an interval of 60 s. Each has a last tick, in seconds before the present time."""

    def __init__(self, after: Mapping[str, str]) -> None:
        self.specs = {
            name: ClockSpec(
                name,
                (name,),
                "group",
                source=Source.COMMITTED if before else Source.REPORTS,
                after=tuple(map(upstream, before.split())),
            )
            for name, before in after.items()
        }
        self.states = {name: self._state(name) for name in after}
        self.read: list[str] = []

    def _state(self, name: str, **fields: Any) -> PublicState:
        after = tuple(UpstreamObservation(one.clock, one.url, None) for one in self.specs[name].after)
        return public_state(clock=name, status=Status.RUNNING, **({"after": after} | fields))

    def tick(self, **ago_s: int | None) -> "World":
        """Set how long ago the times of last ticks were; None: no tick yet."""
        for name, ago in ago_s.items():
            at_ms = None if ago is None else (NOW_S - ago) * 1000
            last = None if at_ms is None else Tick(name, at_ms, None, 60_000, at_ms)
            self.change(name, last_tick=last, behind_ms=None if ago is None else ago * 1000)
        return self

    def change(self, name: str, **fields: Any) -> "World":
        """Change fields of a clock's state."""
        kept = {field: getattr(self.states[name], field) for field in PublicState.__slots__}
        self.states[name] = PublicState(**(kept | fields))
        return self

    def hold(self, name: str, reason: Reason, before: Mapping[str, Any] | None = None) -> "World":
        """Let a clock hold."""
        return self.change(name, status=Status.HOLDING, hold=Hold(reason, upstream=before))

    def pipeline(self, clock: str, hidden: Collection[str] = ()) -> Pipeline:
        """Read the pipeline around a clock."""

        def read(names: Collection[str]) -> list[PublicState]:
            self.read = list(names)
            return [self.states[name] for name in names]

        return read_pipeline(clock, self.specs, read, lambda name: name not in hidden)

    def stages(self, clock: str) -> dict[str, Stage]:
        """The stages around a clock, by their names as text."""
        return {str(one.name): one for one in self.pipeline(clock).stages}


def waited_for(name: str, hold: Hold | None = None, url: str = "") -> dict[str, Any]:
    """The `upstream` of a hold."""
    wire = None if hold is None else hold.to_wire()
    return {"clock": name, "url": url, "time": None, "status": "holding", "hold": wire}


def three() -> World:
    """Three stages, each a minute after the one before."""
    return World({"raw": "", "enriched": "raw", "warehouse": "enriched"}).tick(raw=60, enriched=120, warehouse=180)


@pytest.mark.parametrize("clock", ["raw", "enriched", "warehouse"])
def test_stages_are_in_order(clock: str) -> None:
    """The same for each clock of the pipeline."""
    found = three().pipeline(clock)

    assert [(one.name.clock, one.number) for one in found.stages] == [("raw", 1), ("enriched", 2), ("warehouse", 3)]
    assert found.more == 0
    assert [one.after for one in found.stages] == [(), (UpstreamSpec("raw"),), (UpstreamSpec("enriched"),)]


def test_a_clock_without_others_is_the_only_stage() -> None:
    """Clocks of other pipelines are not read."""
    world = World({"raw": "", "enriched": "raw", "alone": ""})

    assert [str(one.name) for one in world.pipeline("alone").stages] == ["alone"]
    assert world.read == ["alone"]


@pytest.mark.parametrize("clock", ["raw", "left", "right", "sink"])
def test_a_diamond_has_each_stage_once(clock: str) -> None:
    """From a branch, too: the clock after it needs the other branch."""
    world = World({"raw": "", "left": "raw", "right": "left", "sink": "right raw"})

    assert [(str(one.name), one.number) for one in world.pipeline(clock).stages] == [
        ("raw", 1),
        ("left", 2),
        ("right", 3),
        ("sink", 4),
    ]


def test_a_stage_is_behind_the_earliest_stage_before_it() -> None:
    """Unknown as long as one of them is."""
    world = World({"raw": "", "side": "", "sink": "raw side"}).tick(raw=60, side=240, sink=300)
    known = world.stages("sink")["sink"].stage_behind_ms
    unknown = world.tick(side=None).stages("sink")

    assert known == 60_000
    assert unknown["sink"].stage_behind_ms is None
    assert unknown["raw"].stage_behind_ms is None


def test_a_stage_waits_for_the_earliest_stage_that_has_not_passed_its_next_boundary() -> None:
    """Otherwise it waits for its own partitions."""
    world = World({"raw": "", "side": "", "sink": "raw side"})

    def waits_for(**ago_s: int | None) -> UpstreamSpec | None:
        return world.tick(**ago_s).stages("sink")["sink"].waits_for

    assert waits_for(raw=60, side=60, sink=120) is None
    assert waits_for(raw=60, side=120, sink=120) == UpstreamSpec("side")
    assert waits_for(raw=180, side=120, sink=180) == UpstreamSpec("raw")
    assert waits_for(raw=60, side=None, sink=None) == UpstreamSpec("side")
    assert waits_for(raw=60, side=60, sink=None) is None


def test_the_hold_decides_what_a_stage_waits_for() -> None:
    """The leader knows the observation; the last ticks may be newer."""
    world = three().hold("warehouse", Reason.UPSTREAM_BEHIND, waited_for("enriched"))
    waiting = world.stages("warehouse")["warehouse"].waits_for
    world.tick(enriched=180).hold("warehouse", Reason.PARTITION_BEHIND)

    assert waiting == UpstreamSpec("enriched")
    assert world.stages("warehouse")["warehouse"].waits_for is None


@pytest.mark.parametrize("clock", ["raw", "enriched", "warehouse"])
def test_only_the_first_stage_of_a_chain_is_to_blame(clock: str) -> None:
    """The stages after it wait for it."""
    world = three().tick(raw=600, enriched=600, warehouse=600).hold("raw", Reason.PARTITION_BEHIND)
    raw = waited_for("raw", world.states["raw"].hold)
    enriched = Hold(Reason.UPSTREAM_BEHIND, upstream=raw)
    world.hold("enriched", Reason.UPSTREAM_BEHIND, raw)
    world.hold("warehouse", Reason.UPSTREAM_BEHIND, waited_for("enriched", enriched))

    found = world.stages(clock)

    assert {name: one.to_blame for name, one in found.items()} == {"raw": True, "enriched": False, "warehouse": False}
    assert found["warehouse"].hold is not None
    assert "upstream" not in found["warehouse"].hold


def test_a_later_stage_can_be_to_blame() -> None:
    """The first one goes on."""
    world = three().tick(raw=60, enriched=600, warehouse=600).change("enriched", status=Status.CATCHING_UP)

    assert [name for name, one in world.stages("warehouse").items() if one.to_blame] == ["enriched"]


def test_without_trouble_no_stage_is_to_blame() -> None:
    """Each stage is later than the one before, as always."""
    assert not [one for one in three().stages("raw").values() if one.to_blame]


def test_a_stage_of_another_installation_is_what_the_observer_has_read() -> None:
    """With those for which it waits. Their distance from the time is that of this installation's time."""
    world = World({"warehouse": "raw@"}).tick(warehouse=300)
    hold = Hold(Reason.UPSTREAM_BEHIND, upstream=waited_for("source", Hold(Reason.PAUSED), url=OTHER)).to_wire()
    read = UpstreamObservation("raw", OTHER, (NOW_S - 300) * 1000, "holding", hold | {"since": None})
    world.change("warehouse", after=(read,))
    world.hold("warehouse", Reason.UPSTREAM_BEHIND, waited_for("raw", url=OTHER))

    found = world.stages("warehouse")

    assert [(name, one.number, one.to_blame) for name, one in found.items()] == [
        (f"source@{OTHER}", 1, True),
        (f"raw@{OTHER}", 2, False),
        ("warehouse", 3, False),
    ]
    assert found[f"raw@{OTHER}"].behind_ms == 300_000
    assert found[f"raw@{OTHER}"].waits_for == UpstreamSpec("source", OTHER)
    assert found["warehouse"].stage_behind_ms == 0


def test_a_stage_that_can_not_be_read_is_to_blame() -> None:
    """With the error."""
    world = World({"warehouse": "raw@"}).tick(warehouse=300)
    world.change("warehouse", after=(UpstreamObservation("raw", OTHER, None, problem="no answer"),))
    world.hold("warehouse", Reason.UPSTREAM_BEHIND, waited_for("raw", url=OTHER))

    found = world.stages("warehouse")[f"raw@{OTHER}"]

    assert (found.to_blame, found.problem, found.status) == (True, "no answer", "")


def test_clocks_of_two_installations_that_wait_for_each_other_end() -> None:
    """Neither installation can see such a cycle in its own configuration."""
    second = waited_for("raw", Hold(Reason.UPSTREAM_BEHIND, upstream=waited_for("ours", url="https://us")), url=OTHER)
    first = Hold(Reason.UPSTREAM_BEHIND, upstream=waited_for("ours", Hold(Reason.UPSTREAM_BEHIND, upstream=second)))
    world = World({"warehouse": "raw@"}).tick(warehouse=300)
    world.change("warehouse", after=(UpstreamObservation("raw", OTHER, 0, "holding", first.to_wire()),))

    assert {str(one.name) for one in world.pipeline("warehouse").stages} == {
        "warehouse",
        f"raw@{OTHER}",
        f"ours@{OTHER}",
    }


def test_of_a_clock_that_the_caller_may_not_see_only_the_name_is_known() -> None:
    """Its state is not read. It is not blamed."""
    world = three().hold("enriched", Reason.PARTITION_BEHIND)
    world.hold("warehouse", Reason.UPSTREAM_BEHIND, waited_for("enriched"))

    found = {str(one.name): one for one in world.pipeline("warehouse", hidden=["enriched"]).stages}

    assert found["enriched"] == Stage(UpstreamSpec("enriched"), problem=HIDDEN)
    assert "enriched" not in world.read


def test_a_very_wide_pipeline_is_cut() -> None:
    """The clock, and the stages before it, are always there."""
    many = {f"after-{number:03}": "raw" for number in range(150)}
    found = World({"raw": ""} | many).pipeline("after-149")
    whole = World({"raw": ""} | many).pipeline("raw")

    assert [str(one.name) for one in found.stages] == ["raw", "after-149"]
    assert (len(whole.stages), whole.more) == (MAX_STAGES, 51)
    assert str(whole.stages[0].name) == "raw"


def test_a_deep_diamond_is_numbered_at_once() -> None:
    """The number of paths through 60 diamonds is beyond counting."""
    after = {"c-000": ""}
    for number in range(1, 60):
        first = f"c-{number - 1:03}"
        after |= {f"a-{number:03}": first, f"b-{number:03}": first, f"c-{number:03}": f"a-{number:03} b-{number:03}"}

    assert World(after).pipeline("c-030").stages[-1].number <= 2 * 59 + 1


def test_the_json_of_a_pipeline() -> None:
    """Its fields to the letter; a hold names at most ten partitions. Decoding gives the same."""
    world = World({"raw": "", "sink": "raw"}).tick(raw=60, sink=300)
    named = tuple(Partition("t", number) for number in range(20))
    world.change("sink", hold=Hold(Reason.PARTITION_BEHIND, named, "it is behind"), hold_since_ms=NOW_S * 1000)
    world.change("sink", status=Status.HOLDING, observer=ObserverState(0, "", {"not_processed": 20}, 0))
    found = world.pipeline("raw")

    wire = pipeline_to_wire(found)

    assert pipeline_from_wire(wire) == found
    assert list(wire) == ["clock", "stages", "more"]
    assert wire["stages"][1] == {
        "clock": "sink",
        "url": "",
        "number": 2,
        "after": [{"clock": "raw", "url": ""}],
        "time": "1970-01-01T02:41:40Z",
        "timestamp_seconds": 9_700,
        "behind_seconds": 300.0,
        "stage_behind_seconds": 240.0,
        "status": "holding",
        "hold": {
            "reason": "partition_behind",
            "since": "1970-01-01T02:46:40Z",
            "partitions": [{"topic": "t", "partition": number} for number in range(MAX_PARTITIONS)],
            "detail": "it is behind",
        },
        "waits_for": None,
        "to_blame": True,
        "waiting": {"not_processed": 20},
        "problem": "",
    }
