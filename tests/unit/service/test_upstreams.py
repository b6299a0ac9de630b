"""Upstream clocks: those of this installation from the store, and those of other services over HTTP."""

import itertools
import json
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from clocksvc.client.http import ServiceClient
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Partition
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.observations import UpstreamObservation
from clocksvc.interfaces.schedulers import SchedulerAnnouncement
from clocksvc.interfaces.upstreams import UpstreamKey, UpstreamReading, upstream_key
from clocksvc.service import upstreams
from clocksvc.service.upstreams import AllUpstreams, LocalUpstreams, RemoteUpstreams
from tests.faulty.clock_views import views_of
from tests.http_stub import Asked, HttpStub, Reply, problem
from tests.unit.api.clock_fixture import NOON, TOPIC, ClockFixture, after, ticks
from tests.unit.api.running_service import serving
from tests.waiting import eventually

pytestmark = pytest.mark.core

Read = Callable[[int | None], UpstreamReading]


@contextmanager
def local(fixture: ClockFixture) -> Iterator[Read]:
    """Read a clock of this installation."""
    found = AllUpstreams(LocalUpstreams(views_of(fixture.view)), RemoteUpstreams({}))
    key = UpstreamKey(fixture.spec.name)
    fixture.read()
    yield lambda after_ms: found.read({key: after_ms})[key]


@contextmanager
def remote(fixture: ClockFixture) -> Iterator[Read]:
    """Read the same clock over HTTP."""
    with serving(fixture) as service:
        key = UpstreamKey(fixture.spec.name, service.url)
        found = AllUpstreams(LocalUpstreams(views_of()), RemoteUpstreams({key: ServiceClient(service.url)}))
        last_ms = fixture.store.snapshot().last_tick_ms
        eventually(lambda: fixture.feed.cursor_ms == last_ms, what="the feed to have read")
        yield lambda after_ms: found.read({key: after_ms})[key]


Reading = Callable[[ClockFixture], AbstractContextManager[Read]]

both = pytest.mark.parametrize("reading", [local, remote])


@both
def test_ticks_after_a_time_without_a_gap(reading: Reading) -> None:
    """With the partitions that they excluded, and the last one is the clock's last tick."""
    fixture = ClockFixture()
    chain = ticks(5)
    chain[3] = replace(chain[3], excluded=(Partition(TOPIC, 1),))
    fixture.publish(*chain)

    with reading(fixture) as read:
        found, newest, nothing = read(chain[1].at_ms), read(None), read(chain[4].at_ms)

    assert (found.ticks, found.trimmed, found.state.last_tick_ms) == (tuple(chain[2:]), False, chain[4].at_ms)
    assert (found.state.problem, found.state.status) == ("", "catching_up")
    assert (newest.ticks, newest.state.last_tick_ms) == ((chain[4],), chain[4].at_ms)
    assert (nothing.ticks, nothing.state.last_tick_ms) == ((), chain[4].at_ms)


@both
def test_a_clock_without_ticks_has_none(reading: Reading) -> None:
    """The time that `init` set is no tick."""
    fixture = ClockFixture(led=False)
    fixture.lead(base_ms=(NOON - 60) * 1000)

    with reading(fixture) as read:
        found = [read(None), read((NOON - 3_600) * 1000), read((NOON - 60) * 1000)]

    assert [(one.ticks, one.state.last_tick_ms, one.state.problem) for one in found] == [((), None, "")] * 3


@both
def test_the_last_tick_is_never_later_than_the_clocks(reading: Reading) -> None:
    """A cursor of the clock after it may be: its upstream clock began again."""
    fixture = ClockFixture()
    fixture.publish(*ticks(2))

    with reading(fixture) as read:
        found = read((NOON + 3_600) * 1000)

    assert (found.ticks, found.state.last_tick_ms) == ((), ticks(2)[-1].at_ms)


@both
def test_ticks_that_are_no_longer_kept(reading: Reading) -> None:
    """The reading begins with the oldest kept one, and `begins` is true."""
    fixture = ClockFixture(keep=2)
    chain = ticks(6)
    fixture.have(chain[3:])

    with reading(fixture) as read:
        found = read(chain[0].at_ms)

    assert (found.ticks, found.trimmed, found.state.last_tick_ms) == (tuple(chain[3:]), True, chain[5].at_ms)


@both
def test_a_reading_has_a_largest_number_of_ticks(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last tick is that of the reading, not the clock's: the ticks in between may have excluded partitions."""
    monkeypatch.setattr(upstreams, "MAX_TICKS", 4)
    monkeypatch.setattr(upstreams, "PAGE", 2)
    fixture = ClockFixture()
    chain = ticks(7)
    fixture.publish(*chain)

    with reading(fixture) as read:
        found = read(chain[0].at_ms)
        rest = read(found.state.last_tick_ms)

    assert (found.ticks, found.state.last_tick_ms) == (tuple(chain[1:5]), chain[4].at_ms)
    assert (rest.ticks, rest.state.last_tick_ms) == (tuple(chain[5:]), chain[6].at_ms)


@both
def test_the_hold_of_the_clock(reading: Reading) -> None:
    """As people see it."""
    fixture = ClockFixture()
    fixture.publish(*ticks(1))
    fixture.publish_hold(Hold(Reason.TOPIC_MISSING, (Partition(TOPIC, 1),), "no such topic"))

    with reading(fixture) as read:
        hold = read(None).state.hold

    assert hold is not None
    assert (hold["reason"], hold["detail"]) == ("topic_missing", "no such topic")
    assert hold["partitions"] == [{"topic": TOPIC, "partition": 1}]


def test_no_answer_of_the_store_is_a_problem() -> None:
    """Before the first read. Afterwards the ticks are those that were read last."""
    fixture = ClockFixture()
    fixture.publish(*ticks(2))
    fixture.server.broken = True
    with local(fixture) as read:
        before = read(None)
        fixture.server.broken = False
        fixture.read()
        fixture.server.broken = True
        fixture.read()
        later = read(None)

    assert (before.ticks, before.state.last_tick_ms) == ((), None)
    assert before.state.problem != ""
    assert (later.state.last_tick_ms, later.state.problem) == (ticks(2)[-1].at_ms, "")
    assert later.state.hold is not None
    assert later.state.hold["reason"] == "store_unavailable"


# -- the scheduler of an upstream clock as a stage ---------------------------------------------------------------------


def test_which_clocks_count_the_scheduler() -> None:
    """Those over the due records of their upstream clock, in the same installation."""
    assert upstream_key("raw", "", ["raw-due"]) == UpstreamKey("raw", "", True)
    assert upstream_key("raw", "", ["handled"]) == UpstreamKey("raw")
    assert upstream_key("raw", "https://other", ["raw-due"]) == UpstreamKey("raw", "https://other")


def announce(fixture: ClockFixture, *positions: int | None, problem: str | None = None) -> None:
    """A live scheduler that owns these partitions, and has sent everything up to these ticks."""
    stats = {number: {"position_ms": at, "problem": problem} for number, at in enumerate(positions)}
    owned = frozenset(stats)
    fixture.schedulers.announce(
        SchedulerAnnouncement("host:1 a", "http://host:1", loaded=owned, owned=owned, stats=stats), 10**9, {}
    )


def test_a_tick_counts_once_all_partitions_have_sent_what_is_due() -> None:
    """For the clock over the due records only; another one after the same clock does not wait for the scheduler."""
    fixture = ClockFixture(schedules=2)
    chain = ticks(5)
    fixture.publish(*chain)
    fixture.read()
    stage, plain = UpstreamKey("checkins", "", True), UpstreamKey("checkins")
    found = AllUpstreams(LocalUpstreams(views_of(fixture.view)), RemoteUpstreams({}))

    def read() -> tuple[UpstreamReading, UpstreamReading]:
        fixture.time.advance(1)
        both = found.read({stage: chain[0].at_ms, plain: chain[0].at_ms})
        return both[stage], both[plain]

    unknown, unaffected = read()
    announce(fixture, chain[4].at_ms, None)
    partly, _ = read()
    announce(fixture, chain[4].at_ms, chain[2].at_ms, problem="broker away")
    behind, _ = read()
    announce(fixture, chain[4].at_ms, chain[4].at_ms)
    complete, _ = read()

    assert (unaffected.ticks, unaffected.state.last_tick_ms) == (tuple(chain[1:]), chain[4].at_ms)
    assert [(one.ticks, one.state.last_tick_ms) for one in (unknown, partly)] == [((), None)] * 2
    assert (behind.ticks, behind.state.last_tick_ms) == (tuple(chain[1:3]), chain[2].at_ms)
    assert behind.state.hold is not None
    assert behind.state.hold["detail"] == (
        "the scheduler of checkins has sent what is due up to 2026-11-22T11:02:00Z; 2 of 2 partitions have an owner; "
        "partition 0 at host:1: broker away; partition 1 at host:1: broker away"
    )
    assert (complete.ticks, complete.state.last_tick_ms, complete.state.hold) == (
        tuple(chain[1:]),
        chain[4].at_ms,
        None,
    )


# -- other services ---------------------------------------------------------------------------------------------------


def until_ticks(read: Callable[[], UpstreamReading]) -> UpstreamReading:
    """The first reading with ticks."""
    found = [UpstreamReading((), UpstreamObservation("", "", None))]

    def answered() -> bool:
        found.append(read())
        return bool(found[-1].ticks)

    eventually(answered, what="the answer")
    return found[-1]


def state_of(last: Tick, hold: object = None) -> dict[str, object]:
    """What `GET /v1/clocks/{clock}` answers."""
    return {"status": "running", "hold": hold, "last_tick": last.to_wire()}


def hold_of(reason: str, upstream: object = None) -> dict[str, object]:
    """A hold as JSON."""
    return {"reason": reason, "since": None, "partitions": [], "detail": "because", "upstream": upstream}


def waited_for(clock: object, url: str, hold: object, time: object = None) -> dict[str, object]:
    """The upstream clock of a hold as JSON."""
    return {"clock": clock, "url": url, "time": time, "status": "holding", "hold": hold}


def held_for(upstream: object) -> Reply:
    """The answer for a clock that waits for an upstream clock."""
    return Reply(body=state_of(ticks(1)[0], hold_of("upstream_behind", upstream)) | {"ticks": []})


def nested(levels: int) -> dict[str, object]:
    """A hold of a chain of upstream clocks."""
    upstream = waited_for("c", "", nested(levels - 1)) if levels else None
    return hold_of("upstream_behind", upstream)


def test_a_service_that_hangs_delays_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first read waits for it, the next ones do not; once it answers, a read has its answer."""
    waits = list[int]()

    def counted(futures: Collection[Future[Any]], timeout_s: float) -> None:
        waits.append(len(futures))
        wait(futures, timeout_s)

    monkeypatch.setattr(upstreams, "WAIT_S", 0.01)
    monkeypatch.setattr(upstreams, "wait", counted)
    go_on, chain = threading.Event(), ticks(2)

    def answer(asked: Asked) -> Reply:
        assert go_on.wait(20)
        return Reply(body={"ticks": [chain[1].to_wire()]} if asked.path.endswith("ticks") else state_of(chain[1]))

    quick = ClockFixture()
    quick.publish(*chain)
    quick.read()
    with HttpStub(answer) as stub:
        slow, near = UpstreamKey("raw", stub.url), UpstreamKey("checkins")
        found = AllUpstreams(LocalUpstreams(views_of(quick.view)), RemoteUpstreams({slow: ServiceClient(stub.url)}))
        asked: dict[UpstreamKey, int | None] = {slow: chain[0].at_ms, near: chain[0].at_ms}
        waiting = [found.read(asked) for _ in range(20)]
        waited = sum(waits)
        go_on.set()
        answered = until_ticks(lambda: found.read(asked)[slow])
        requests = len([one for one in stub.asked if one.path.endswith("ticks")])

    assert {one[slow].state.problem for one in waiting} == {"no answer yet"}
    assert {one[near].state.last_tick_ms for one in waiting} == {chain[1].at_ms}
    assert (answered.ticks, answered.state.last_tick_ms) == ((chain[1],), chain[1].at_ms)
    assert (waited, requests <= 2) == (1, True)


def test_a_slow_service_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it was quick. Each of its answers is used by the read after it."""
    answers, waits, delayed_s, chain = list[bool](), list[int](), [0.08], ticks(2)

    def answer(asked: Asked) -> Reply:
        threading.Event().wait(delayed_s[0])
        return Reply(body={"ticks": [chain[1].to_wire()]} if asked.path.endswith("ticks") else state_of(chain[1]))

    def counted(futures: Collection[Future[Any]], timeout_s: float) -> None:
        waits.append(len(futures))
        wait(futures, timeout_s)

    monkeypatch.setattr(upstreams, "WAIT_S", 0.1)
    monkeypatch.setattr(upstreams, "wait", counted)
    with HttpStub(answer) as stub:
        key = UpstreamKey("raw", stub.url)
        found = RemoteUpstreams({key: ServiceClient(stub.url)})

        def read() -> bool:
            answers.append(bool(found.read({key: chain[0].at_ms})[key].ticks))
            return answers.count(True) >= 2

        eventually(read, what="two answers")
        slow_waits, delayed_s[0] = sum(waits), 0.0
        eventually(lambda: read() and sum(waits) > slow_waits, what="the next wait")

    assert slow_waits == 1


def test_the_answer_to_another_question_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late answer to a read with another cursor could leave a gap."""
    monkeypatch.setattr(upstreams, "WAIT_S", 0.01)
    go_on, chain = threading.Event(), ticks(4)

    def answer(asked: Asked) -> Reply:
        assert go_on.wait(20)
        if not asked.path.endswith("ticks"):
            return Reply(body=state_of(chain[3]))
        after_s = int(asked.query["after"])
        return Reply(body={"ticks": [one.to_wire() for one in chain if one.at_ms > after_s * 1000]})

    with HttpStub(answer) as stub:
        key = UpstreamKey("raw", stub.url)
        found = RemoteUpstreams({key: ServiceClient(stub.url)})
        found.read({key: chain[2].at_ms})
        go_on.set()
        read = until_ticks(lambda: found.read({key: chain[0].at_ms})[key])

    assert read.ticks == tuple(chain[1:])


def test_clocks_after_the_same_slow_clock_all_get_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read ends before the answer arrives, so the read for another clock finds it. A new clock has no cursor."""
    monkeypatch.setattr(upstreams, "WAIT_S", 0.0)
    chain = ticks(4)

    def answer(asked: Asked) -> Reply:
        if not asked.path.endswith("ticks"):
            return Reply(body=state_of(chain[3]))
        after_s = int(asked.query.get("after", chain[2].at_ms // 1000))
        return Reply(body={"ticks": [one.to_wire() for one in chain if one.at_ms > after_s * 1000]})

    cursors = (chain[0].at_ms, None, chain[2].at_ms)
    answered: dict[int | None, tuple[Tick, ...]] = {}
    with HttpStub(answer) as stub:
        key = UpstreamKey("raw", stub.url)
        found = RemoteUpstreams({key: ServiceClient(stub.url)})
        clocks = itertools.cycle(cursors)

        def all_answered() -> bool:
            cursor, asked = next(clocks), len(stub.asked)
            reading = found.read({key: cursor})[key]
            later = tuple(tick for tick in reading.ticks if cursor is None or tick.at_ms > cursor)
            answered.update({cursor: later} if later else {})
            eventually(lambda: len(stub.asked) >= asked + 2, within=0.1, what="the end of the read")
            return len(answered) == len(cursors)

        eventually(all_answered, what="an answer for each clock")

    assert answered == {cursors[0]: tuple(chain[1:]), None: (chain[3],), cursors[2]: (chain[3],)}


def test_a_clock_that_is_rebuilt_does_not_affect_others_of_its_service() -> None:
    """A status is an answer. Only without one, the others would wait as long."""
    chain = ticks(2)

    def answer(asked: Asked) -> Reply:
        if "/raw" in asked.path:
            return problem(503, "rebuilding")
        return Reply(body=state_of(chain[1]) | {"ticks": [chain[1].to_wire()]})

    with HttpStub(answer) as stub:
        raw, other = UpstreamKey("raw", stub.url), UpstreamKey("other", stub.url)
        found = RemoteUpstreams(dict.fromkeys((raw, other), ServiceClient(stub.url))).read({raw: None, other: None})

    assert found[raw].state.problem != ""
    assert (found[other].state.problem, found[other].ticks) == ("", (chain[1],))


def test_the_hold_of_another_service_has_a_bounded_size() -> None:
    """Services can wait for each other."""
    chain = ticks(1)
    with HttpStub(lambda _: Reply(body=state_of(chain[0], nested(50)) | {"ticks": []})) as stub:
        key = UpstreamKey("a", stub.url)
        hold = RemoteUpstreams({key: ServiceClient(stub.url)}).read({key: None})[key].state.hold
    assert json.dumps(hold).count("upstream_behind") == 17


def test_urls_in_the_hold_of_another_service() -> None:
    """An upstream clock without a URL is one of that service: a reader of the hold needs no context."""
    chain = ticks(1)
    deepest = hold_of("topic_missing", waited_for("c", "https://third", None))
    hold = hold_of("upstream_behind", waited_for("b", "", deepest))
    with HttpStub(lambda asked: Reply(body=state_of(chain[0], hold) | {"ticks": []})) as stub:
        key = UpstreamKey("a", stub.url)
        shown = RemoteUpstreams({key: ServiceClient(stub.url)}).read({key: None})[key].state.hold

    assert shown is not None
    assert shown["upstream"]["url"] == stub.url
    assert shown["upstream"]["hold"]["upstream"]["url"] == "https://third"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (problem(401, "unauthenticated"), "401"),
        (problem(404, "unknown-clock"), "because"),
        (Reply(body={"hello": "world"}), "not one of clocksvc"),
        (Reply(body=state_of(ticks(1)[0]) | {"ticks": [after(ticks(3)[-1])[0].to_wire()]}), "a tick is missing"),
        (Reply(status=500), "500"),
        (Reply(body=state_of(ticks(1)[0], {"reason": "paused"}) | {"ticks": []}), "not one of clocksvc"),
        (Reply(body=state_of(ticks(1)[0], hold_of("paused", "raw")) | {"ticks": []}), "not one of clocksvc"),
        (held_for(waited_for(None, "", None)), "NoneType in place of text"),
        (held_for(waited_for("c", "", {"reason": "paused"})), "not one of clocksvc"),
        (held_for(waited_for("c", "", None, time="yesterday")), "yesterday"),
    ],
)
def test_what_a_service_can_answer_wrongly(reply: Reply, text: str) -> None:
    """A problem, and no tick."""
    with HttpStub(lambda _: reply) as stub:
        key = UpstreamKey("raw", stub.url)
        found = RemoteUpstreams({key: ServiceClient(stub.url)}).read({key: ticks(1)[0].at_ms})[key]

    assert (found.ticks, found.state.last_tick_ms) == ((), None)
    assert text in found.state.problem


def test_the_token_is_sent() -> None:
    """That of the clock."""
    with HttpStub(lambda _: problem(401, "unauthenticated")) as stub:
        key = UpstreamKey("raw", stub.url)
        RemoteUpstreams({key: ServiceClient(stub.url, "token-of-raw-1234")}).read({key: None})
        sent = stub.asked[0].headers["authorization"]

    assert sent == "Bearer token-of-raw-1234"
