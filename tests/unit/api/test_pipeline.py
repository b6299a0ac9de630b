"""`GET /v1/clocks/{clock}/pipeline`, and what a clock from committed offsets shows of its observer."""

from typing import Any

from clocksvc.api.tokens import Scope, Token
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import UpstreamSpec
from clocksvc.interfaces.observations import Observation, PartitionObservation, UpstreamObservation
from tests.unit.api.clock_fixture import NOON, TOPIC, ClockFixture, ticks
from tests.unit.api.conftest import ClientOf

OTHER = "https://clocksvc.other"


def stuck() -> list[ClockFixture]:
    """Two clocks: `raw` is held by a partition, and `warehouse` waits for it. The time is noon."""
    raw, warehouse = (
        ClockFixture("raw"),
        ClockFixture("warehouse", after=[UpstreamSpec("raw"), UpstreamSpec("b", OTHER)]),
    )
    hold = Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 1),), "it is behind")
    raw.publish_hold(hold)
    upstream = {"clock": "raw", "url": "", "time": "2026-11-22T11:00:00Z", "status": "holding", "hold": hold.to_wire()}
    warehouse.publish_hold(Hold(Reason.UPSTREAM_BEHIND, detail="waits for raw", upstream=upstream))
    warehouse.report(NOON - 3_000)
    observation = Observation(
        at_ms=(NOON - 5) * 1000,
        waiting={"not_processed": 1, "nothing_committed": 1},
        upstreams=(
            UpstreamObservation("raw", "", (NOON - 3_600) * 1000, "holding", hold.to_wire()),
            UpstreamObservation("b", OTHER, None, problem="no answer"),
        ),
        skipped_records=3,
        committed_partitions=2,
    )
    partitions = {
        Partition(TOPIC, 0): PartitionObservation(10, 12, "not_processed"),
        Partition(TOPIC, 1): PartitionObservation(None, 7, "nothing_committed"),
    }
    warehouse.store.write_observation(observation, partitions)
    for each in (raw, warehouse):
        each.publish(*ticks(1, clock=each.spec.name))
        each.read()
    return [raw, warehouse]


def test_a_clock_shows_its_observer_and_its_upstream_clocks(client_of: ClientOf) -> None:
    """In the order of the configuration, with what could not be read."""
    state = client_of(*stuck()).get("/v1/clocks/warehouse").json()

    assert state["source"] == "committed"
    assert [(one["clock"], one["url"], one["time"], one["status"], one["problem"]) for one in state["after"]] == [
        ("raw", "", "2026-11-22T11:00:00Z", "holding", ""),
        ("b", OTHER, None, None, "no answer"),
    ]
    assert state["after"][0]["hold"]["reason"] == "partition_behind"
    assert state["observer"] == {
        "observed_at": "2026-11-22T11:59:55Z",
        "problem": "",
        "waiting": {"not_processed": 1, "nothing_committed": 1},
        "skipped_records": 3,
        "committed_partitions": 2,
    }
    assert state["hold"]["upstream"]["hold"]["partitions"] == [{"topic": TOPIC, "partition": 1}]


def test_upstream_clocks_are_named_before_they_were_read(client_of: ClientOf) -> None:
    """Nothing else is known of them."""
    clock = ClockFixture("warehouse", after=[UpstreamSpec("raw")])
    clock.read()

    state = client_of(clock).get("/v1/clocks/warehouse").json()

    assert (state["observer"], state["source"]) == (None, "committed")
    assert state["after"] == [
        {
            "clock": "raw",
            "url": "",
            "time": None,
            "timestamp_seconds": None,
            "status": None,
            "hold": None,
            "problem": "",
        }
    ]


def test_partitions_show_what_they_wait_for(client_of: ClientOf) -> None:
    """In the list of partitions, and in the slowest ones."""
    client = client_of(*stuck())
    expected = [(0, 10, 12, "not_processed"), (1, None, 7, "nothing_committed")]

    def offsets(lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        fields = ("partition", "committed_offset", "end_offset", "waits_for")
        return sorted(tuple(line[field] for field in fields) for line in lines)

    assert offsets(client.get("/v1/clocks/warehouse/partitions").json()["partitions"]) == expected
    assert offsets(client.get("/v1/clocks/warehouse").json()["slowest"]) == expected


def test_the_brief_form_has_the_stage_to_blame(client_of: ClientOf) -> None:
    """And the names of the upstream clocks."""
    found = client_of(*stuck()).get("/v1/clocks?view=brief").json()["clocks"][1]

    assert found["after"] == [{"clock": "raw", "url": ""}, {"clock": "b", "url": OTHER}]
    assert found["hold"]["upstream"] == {"clock": "raw", "url": ""}


def test_the_pipeline_names_the_stage_to_blame(client_of: ClientOf) -> None:
    """From each of its clocks."""
    client = client_of(*stuck(), ClockFixture("alone"))

    for clock in ("raw", "warehouse"):
        found = client.get(f"/v1/clocks/{clock}/pipeline").json()
        assert found["clock"] == clock
        assert [(one["clock"], one["url"], one["number"], one["to_blame"]) for one in found["stages"]] == [
            ("b", OTHER, 1, False),
            ("raw", "", 1, True),
            ("warehouse", "", 2, False),
        ]
    assert [one["clock"] for one in client.get("/v1/clocks/alone/pipeline").json()["stages"]] == ["alone"]
    assert client.get("/v1/clocks/nosuch/pipeline").status_code == 404


def test_a_token_shows_only_the_clocks_that_it_may_see(client_of: ClientOf) -> None:
    """Others have their names alone."""
    token = Token("warehouse", "s3cret-of-the-warehouse", frozenset({Scope.READ}), frozenset({"warehouse"}))
    client = client_of(*stuck(), tokens=[token], token="s3cret-of-the-warehouse")

    found = {one["clock"]: one for one in client.get("/v1/clocks/warehouse/pipeline").json()["stages"]}

    assert (found["raw"]["time"], found["raw"]["hold"], found["raw"]["status"]) == (None, None, None)
    assert found["raw"]["problem"] == "this token may not see this clock"
    assert client.get("/v1/clocks/raw/pipeline").status_code == 403
