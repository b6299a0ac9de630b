"""The upstream clocks of a process: those of this installation from the store, others over HTTP.

A read of the store blocks for a few seconds at most. Each other service has a thread of its own, so that one that does
not answer delays nothing else: a read waits for it for a short time, and a later read has its answer.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from clocksvc.client.exchange import Request, ServiceResponse
from clocksvc.client.http import ServiceClient
from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Partition
from clocksvc.clock.tick import Tick, first_chain_break, partition_to_wire
from clocksvc.clock.time_format import parse_timestamp, time_from_wire, time_to_wire, to_rfc3339
from clocksvc.clock.upstream_hold import MAX_DETAIL, MAX_LEVELS, MAX_PARTITIONS
from clocksvc.errors import ClocksvcError, CursorTooOld, ServiceUnavailable
from clocksvc.interfaces.observations import UpstreamObservation
from clocksvc.interfaces.time import SystemTime
from clocksvc.interfaces.upstreams import UpstreamKey, UpstreamReading
from clocksvc.service.clock_views import ClockViews
from clocksvc.service.public_state import PublicState, state_to_wire
from clocksvc.service.tick_feed import TickFeed

MAX_TICKS = 10_000
"""The largest number of ticks of a clock in one reading."""
PAGE = 1_000
"""The largest number of ticks in one response of a service."""
WAIT_S = 1.0
"""How long a read waits for all other services together."""
TIMEOUT_S = 5.0
"""The limit for each response of another service."""
_GONE = 410


class _Answer(NamedTuple):
    """What was read of a clock after a time; after None, its newest tick."""

    after_ms: int | None
    reading: UpstreamReading


class LocalUpstreams:
    """Upstream clocks of this installation.

    Args:
        views: the views of these clocks, whose feeds are kept up to date.
    """

    def __init__(self, views: ClockViews) -> None:
        self._views = views

    def read(self, after_ms: Mapping[UpstreamKey, int | None]) -> Mapping[UpstreamKey, UpstreamReading]:
        names = sorted({key.clock for key in after_ms})
        # The ticks are read after the states. A state that is older shows an older position of the scheduler.
        states = dict(zip(names, self._views.states(names), strict=True))
        return {key: self._reading(key, after, states[key.clock]) for key, after in after_ms.items()}

    def _reading(self, key: UpstreamKey, after_ms: int | None, state: PublicState) -> UpstreamReading:
        hold, status = state_to_wire(state)["hold"], str(state.status)
        try:
            ticks, trimmed = _shown_ticks(self._views[key.clock].feed, after_ms)
        except ClocksvcError as error:
            return UpstreamReading((), UpstreamObservation(key.clock, "", None, status, hold, str(error)))
        last_ms = _covered_ms(ticks, after_ms, self._views[key.clock].feed.last)
        if key.scheduler and state.schedules is not None and last_ms is not None:
            sent_ms = state.schedules.position_ms
            if sent_ms is None or sent_ms < last_ms:
                hold = hold or _scheduler_hold(state)
                ticks = tuple(tick for tick in ticks if sent_ms is not None and tick.at_ms <= sent_ms)
                last_ms = sent_ms
        return UpstreamReading(ticks, UpstreamObservation(key.clock, "", last_ms, status, hold), trimmed)


class RemoteUpstreams:
    """Upstream clocks of other services.

    Args:
        clients: for each clock, a client with the clock's token.
    """

    def __init__(self, clients: Mapping[UpstreamKey, ServiceClient]) -> None:
        self._services = {
            url: _Service(url, {key: client for key, client in clients.items() if key.url == url})
            for url in sorted({key.url for key in clients})
        }

    def read(self, after_ms: Mapping[UpstreamKey, int | None]) -> Mapping[UpstreamKey, UpstreamReading]:
        asked = {
            service: {key: after for key, after in after_ms.items() if key.url == url}
            for url, service in self._services.items()
        }
        started = [future for service, keys in asked.items() if keys and (future := service.begin(keys)) is not None]
        wait(started, WAIT_S)
        found: dict[UpstreamKey, UpstreamReading] = {}
        for service, keys in asked.items():
            found |= service.answers(keys)
        return found


class AllUpstreams:
    """Implements `Upstreams` with the clocks of this installation and those of other services."""

    def __init__(self, local: LocalUpstreams, remote: RemoteUpstreams) -> None:
        self._local, self._remote = local, remote

    def read(self, after_ms: Mapping[UpstreamKey, int | None]) -> Mapping[UpstreamKey, UpstreamReading]:
        here = {key: after for key, after in after_ms.items() if not key.url}
        elsewhere = {key: after for key, after in after_ms.items() if key.url}
        return {**self._local.read(here), **(self._remote.read(elsewhere) if elsewhere else {})}


class _Question(NamedTuple):
    """What is asked about a clock: its ticks after a time, or its newest tick."""

    key: UpstreamKey
    newest: bool


class _Service:
    """Reads the clocks of one service in a thread of its own.

    The last answer to each question is kept, because the read of another clock can be the one that finds it.
    """

    def __init__(self, url: str, clients: Mapping[UpstreamKey, ServiceClient]) -> None:
        self._clients = clients
        self._thread = ThreadPoolExecutor(1, f"upstream {url}")
        self._wanted: dict[_Question, int | None] = {}
        self._running: Future[dict[_Question, _Answer]] | None = None
        self._answers: dict[_Question, _Answer] = {}
        self._slow = False
        self._monotonic = SystemTime().monotonic

    def begin(self, after_ms: Mapping[UpstreamKey, int | None]) -> Future[dict[_Question, _Answer]] | None:
        """Begin to read some clocks, after the present read if there is one.

        Returns:
            What to wait for; None if nothing has begun, or if the service was too slow the last time.
        """
        self._collect()
        for key, after in after_ms.items():
            question = _Question(key, newest=after is None)
            times = [time for time in (after, self._wanted.get(question)) if time is not None]
            self._wanted[question] = min(times, default=None)
        if self._running is not None:
            return None
        self._running, self._wanted = self._thread.submit(self._read, self._wanted), {}
        return None if self._slow else self._running

    def answers(self, after_ms: Mapping[UpstreamKey, int | None]) -> dict[UpstreamKey, UpstreamReading]:
        """Return what was read last of some clocks. A clock without an answer has a problem."""
        self._collect()
        return {
            key: self._answer(key, after) or _without_answer(key, "no answer yet") for key, after in after_ms.items()
        }

    def _answer(self, key: UpstreamKey, after_ms: int | None) -> UpstreamReading | None:
        answer = self._answers.get(_Question(key, newest=after_ms is None))
        if answer is None:
            return None
        # Ticks after a later time would leave a gap.
        covers = after_ms is None or answer.after_ms is None or answer.after_ms <= after_ms
        return answer.reading if covers or answer.reading.state.problem else None

    def _collect(self) -> None:
        if self._running is not None and self._running.done():
            self._answers |= self._running.result()
            self._running = None

    def _read(self, wanted: Mapping[_Question, int | None]) -> dict[_Question, _Answer]:
        began = self._monotonic()
        found: dict[_Question, _Answer] = {}
        lost: ServiceUnavailable | None = None
        for question, after in wanted.items():
            key = question.key
            try:
                if lost is not None:
                    raise lost  # each attempt takes as long as the timeout
                reading = _read_remote(self._clients[key], key, after)
            except ServiceUnavailable as error:
                lost = error if error.status is None else None
                reading = _without_answer(key, str(error))
            except ClocksvcError as error:
                reading = _without_answer(key, str(error))
            except Exception as error:  # an answer of one server must not end the observer of all clocks
                reading = _without_answer(key, f"its answer is not one of clocksvc: {error!r:.200}")
            found[question] = _Answer(after, reading)
        self._slow = self._monotonic() - began > WAIT_S
        return found


def _shown_ticks(feed: TickFeed, after_ms: int | None) -> tuple[tuple[Tick, ...], bool]:
    """Return the ticks after a time, and True if some of them are no longer kept."""
    if after_ms is None:
        return tuple(feed.newest(1)), False
    try:
        return tuple(feed.ticks_after(after_ms, MAX_TICKS)), False
    except CursorTooOld as error:
        return tuple(feed.ticks_after(error.oldest_previous_ms or 0, MAX_TICKS)), True


def _covered_ms(ticks: tuple[Tick, ...], after_ms: int | None, last: Tick | None) -> int | None:
    """Return the last tick of a clock up to which all ticks after a time are known; None if it has none."""
    if ticks:
        return ticks[-1].at_ms
    return None if last is None or after_ms is None else min(after_ms, last.at_ms)


def _scheduler_hold(state: PublicState) -> dict[str, Any]:
    """Return, as the JSON of a hold, that the scheduler of a clock has not sent everything."""
    schedules = state.schedules
    assert schedules is not None
    sent = "an unknown time" if schedules.position_ms is None else to_rfc3339(schedules.position_ms)
    owned = "" if schedules.owned is None else f"; {schedules.owned} of {schedules.partitions} partitions have an owner"
    problems = "".join(f"; {problem}" for problem in schedules.problems)
    detail = f"the scheduler of {state.clock} has sent what is due up to {sent}{owned}{problems}"
    return {"reason": str(Reason.UPSTREAM_BEHIND), "since": None, "partitions": [], "detail": detail, "upstream": None}


def _without_answer(key: UpstreamKey, problem: str) -> UpstreamReading:
    return UpstreamReading((), UpstreamObservation(key.clock, key.url, None, problem=problem))


def _read_remote(client: ServiceClient, key: UpstreamKey, after_ms: int | None) -> UpstreamReading:
    """Read a clock of another service. Blocks for up to some timeouts.

    Raises:
        ClocksvcError: as ServiceClient.
        AttributeError, LookupError, TypeError, ValueError: the answer is not one of clocksvc.
    """
    path = f"/v1/clocks/{key.clock}"
    state = client.get(path, timeout_s=TIMEOUT_S).body
    last = None if state["last_tick"] is None else Tick.from_wire(state["last_tick"])
    ticks, trimmed = _remote_ticks(client, f"{path}/ticks", after_ms)
    hold = None if state["hold"] is None else _remote_hold(state["hold"], key.url)
    last_ms = _covered_ms(ticks, after_ms, last)
    return UpstreamReading(
        ticks, UpstreamObservation(key.clock, key.url, last_ms, _text(state["status"]), hold), trimmed
    )


def _remote_ticks(client: ServiceClient, path: str, after_ms: int | None) -> tuple[tuple[Tick, ...], bool]:
    if after_ms is None:
        return _ticks_in(client.get(path, {"limit": 1}, timeout_s=TIMEOUT_S), None), False
    ticks, trimmed, cursor_ms = tuple[Tick, ...](), False, after_ms
    while len(ticks) < MAX_TICKS:
        params = {"after": cursor_ms // 1000, "limit": PAGE}
        response = client.fetch(Request("GET", path, params, timeout_s=TIMEOUT_S, accept=(_GONE,)))
        if response.status == _GONE:
            if trimmed or ticks:
                break  # ticks were removed between two responses: the next read finds which ones
            trimmed, cursor_ms = True, parse_timestamp("previous", response.body["oldest"]["previous"])
            continue
        page = _ticks_in(response, cursor_ms)
        ticks += page
        if len(page) < PAGE:
            break
        cursor_ms = page[-1].at_ms
    return ticks, trimmed


def _ticks_in(response: ServiceResponse, cursor_ms: int | None) -> tuple[Tick, ...]:
    """Return the ticks of a response. Raises ValueError if one is missing after the cursor, or between two of them."""
    ticks = tuple(map(Tick.from_wire, response.body["ticks"]))
    if not ticks:
        return ()
    first_ms = ticks[0].previous_ms
    late = cursor_ms is not None and first_ms is not None and first_ms > cursor_ms
    if late or first_chain_break(first_ms, ticks) is not None:
        raise ValueError(f"a tick is missing before {to_rfc3339(ticks[0].at_ms if late else ticks[-1].at_ms)}")
    return ticks


def _remote_hold(hold: Mapping[str, Any], url: str, levels: int = MAX_LEVELS) -> dict[str, Any]:
    """Return the hold that a service has sent, with a bounded size.

    Each upstream clock in it that has no URL has the URL of the service.

    Raises:
        ClocksvcError, AttributeError, LookupError, TypeError, ValueError: not a hold. The leader, metrics and the page
            rely on its fields.
    """
    upstream = hold.get("upstream") if levels else None
    found: dict[str, Any] = {
        "reason": _text(hold["reason"]),
        "since": _time(hold.get("since")),
        "partitions": [
            partition_to_wire(Partition(_text(one["topic"]), int(one["partition"])))
            for one in hold["partitions"][:MAX_PARTITIONS]
        ],
        "detail": _text(hold["detail"])[:MAX_DETAIL],
        "upstream": None,
    }
    if upstream is not None:
        below, status = upstream["hold"], upstream["status"]
        found["upstream"] = {
            "clock": _text(upstream["clock"]),
            "url": _text(upstream["url"]) or url,
            "time": _time(upstream["time"]),
            "status": None if status is None else _text(status),
            "hold": None if below is None else _remote_hold(below, url, levels - 1),
        }
    return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of text")
    return value


def _time(value: Any) -> str | None:
    return time_to_wire(time_from_wire("time", value))
