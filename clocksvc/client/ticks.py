"""`ticks`, which yields a clock's ticks over HTTP as soon as they are published. It reconnects after errors.

It never skips a tick. It raises only errors that a retry can't resolve.
"""

import json
import logging
import time
from collections.abc import Iterator

from clocksvc.client.http import ServiceClient
from clocksvc.client.sse import Event
from clocksvc.client.wait import Moment, moment_ms
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.tick import Tick, cursor_too_old
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ChainBroken, CursorTooOld, InvalidValue, ServiceUnavailable, Unavailable
from clocksvc.runtime.backoff import CONNECTION, Backoff

logger = logging.getLogger("clocksvc.ticks")

STREAM_IDLE_TIMEOUT_S = 40.0
"""A stream counts as lost after this time without data, because the service writes at least a comment every 15 s."""
MAX_CONSECUTIVE_GAPS = 5
"""After this many connections in a row with a gap in the chain of ticks, ChainBroken is raised."""


def ticks(url: str, clock: str, *, after: Moment | Tick | None = None, token: str | None = None) -> Iterator[Tick]:
    """Yield a clock's ticks without end. Each tick is yielded once, in order, and no tick is missing.

    `next` blocks until the next tick is published. After a lost connection, a new one resumes after the last tick that
    was yielded. This is logged (`clocksvc.ticks`), not raised. To resume after a restart, store `tick.at_ms` when the
    work for this tick is done, and pass `after=at_ms / 1000`. Closing the iterator closes the connection.

    Args:
        url: the address of the service: `http(s)://host:port`.
        clock: the name of the clock.
        after: the time (an aware datetime, RFC 3339 with an offset, or epoch seconds) or the Tick of the same clock
            after which ticks are yielded. 0 begins with the clock's first tick. None begins with the next tick that is
            published.
        token: an API token with the scope `read`, if the service requires one.

    Raises:
        InvalidValue: an argument is not valid. The call itself raises this; `next` raises all other errors.
        CursorTooOld: ticks after `after`, or after the last tick that was yielded, are no longer kept. To continue
            without these ticks, call again with `after=error.oldest_previous_ms / 1000`, or with 0 if
            `oldest_previous_ms` is None.
        UnknownClock: the service has no such clock.
        RequestRejected: the service rejects the request, for example because of the token.
        ChainBroken: on five connections in a row, a tick did not follow the last tick that was yielded.
    """
    check_clock_name("clock", clock)
    return TickStream(ServiceClient(url, token), clock, None if after is None else _after_ms(clock, after)).ticks()


def _after_ms(clock: str, after: Moment | Tick) -> int:
    if not isinstance(after, Tick):
        return moment_ms("after", after)
    if after.clock != clock:
        raise InvalidValue("after", after, f"wanted a tick of clock {clock!r}")
    return after.at_ms


class TickStream:
    """One subscriber's stream of a clock's ticks. `_last_ms` is the last yielded tick, or the start time."""

    def __init__(self, client: ServiceClient, clock: str, after_ms: int | None) -> None:
        self._client, self._clock = client, clock
        self._last_ms = after_ms
        self._yielded = self._lost = False
        self._gaps = 0
        self._backoff = Backoff(CONNECTION)

    def ticks(self) -> Iterator[Tick]:
        """See the function `ticks`."""
        try:
            while True:
                try:
                    yield from self._one_connection()
                except Unavailable as error:
                    if not self._lost:
                        text = "stream of clock %s lost, it resumes %s: %s"
                        logger.warning(text, self._clock, self._position(), error, extra={"clock": self._clock})
                    self._lost = True
                    time.sleep(self._backoff.next())
        finally:
            self._client.close()

    def _one_connection(self) -> Iterator[Tick]:
        """Yield the ticks of one connection. Raise ServiceUnavailable when the connection ends."""
        params = {"after": None if self._last_ms is None else to_rfc3339(self._last_ms)}
        path = f"/v1/clocks/{self._clock}/ticks/stream"
        with self._client.events(path, params, idle_timeout_s=STREAM_IDLE_TIMEOUT_S) as events:
            for event in events:
                tick = self._read(event)
                if self._lost:
                    text = "stream of clock %s connected again, it resumes %s"
                    logger.info(text, self._clock, self._position(), extra={"clock": self._clock})
                self._lost = False
                if tick is not None:
                    self._last_ms, self._yielded, self._gaps = tick.at_ms, True, 0
                    self._backoff.reset()
                    yield tick
        raise ServiceUnavailable("the service ended the stream")

    def _read(self, event: Event) -> Tick | None:
        """Return the tick to yield; None if the event has no tick to yield."""
        try:
            if event.kind == "state":
                if self._last_ms is None:
                    self._last_ms = int(event.id) * 1000
                return None
            if event.kind == "reset":
                raise self._too_old(Tick.from_wire(json.loads(event.data)["oldest"]))
            return self._checked(Tick.from_wire(json.loads(event.data))) if event.kind == "tick" else None
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceUnavailable(f"an event of the stream is not valid: {error!r}") from error

    def _position(self) -> str:
        return "with the next tick" if self._last_ms is None else f"after {to_rfc3339(self._last_ms)}"

    def _checked(self, tick: Tick) -> Tick | None:
        last_ms = self._last_ms
        if last_ms is None or last_ms == 0:
            return tick
        if tick.at_ms <= last_ms:
            return None  # yielded before
        # `previous_ms` of a tick must be the last yielded tick. The caller's start time may be between two ticks.
        follows = tick.previous_ms == last_ms or (
            not self._yielded and (tick.previous_ms is None or tick.previous_ms <= last_ms)
        )
        if follows:
            return tick
        self._gaps += 1
        gap = f"tick {to_rfc3339(tick.at_ms)} does not follow {to_rfc3339(last_ms)}"
        if self._gaps >= MAX_CONSECUTIVE_GAPS:
            raise ChainBroken(f"clock {self._clock}: {gap}")
        raise ServiceUnavailable(gap)

    def _too_old(self, oldest: Tick) -> CursorTooOld:
        return cursor_too_old(self._last_ms or 0, oldest)
