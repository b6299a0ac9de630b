"""What a subscriber embeds: a clock's ticks as they come, and waiting until a clock has reached a time.

Both talk HTTP and reconnect by themselves, for as long as it takes. They pass over no tick, and raise only what another
attempt would not mend.
"""

import json
import logging
import time
from collections.abc import Iterator

from clocksvc.backoff import Backoff
from clocksvc.client.http import ServiceClient
from clocksvc.client.sse import Event
from clocksvc.client.wait import Moment, moment_ms
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ChainBroken, CursorTooOld, InvalidValue, ServiceUnavailable, Unavailable

logger = logging.getLogger("clocksvc.ticks")

STREAM_IDLE_TIMEOUT_S = 40.0
"""A stream that says nothing for so long is dead: the service writes at least a comment every 15 s."""
MAX_CONSECUTIVE_GAPS = 5
"""How many connections in a row may begin with a tick that does not follow before that is an error."""
_RETRY_FIRST_S, _RETRY_LIMIT_S = 0.1, 5.0


def ticks(url: str, clock: str, *, after: Moment | Tick | None = None, token: str | None = None) -> Iterator[Tick]:
    """A clock's ticks, for ever: each once, in order, none missing.

    A lost connection is made anew, and goes on behind the last tick that was given. To go on after a restart, keep
    `tick.at_ms` once a tick's work is done, and pass `after=at_ms / 1000`, or the tick itself where you have it.

    Args:
        url: the service: `http(s)://host:port`.
        clock: the clock's name.
        after: give the ticks after this time (an aware datetime, RFC 3339, epoch seconds) or after this Tick, one of
            the same clock; 0 for all from the clock's first, None for those that come from now on.
        token: one with the scope `read`, where the service wants one.

    Raises:
        CursorTooOld: ticks after `after`, or after the last one given, are no longer kept. They are never passed over
            silently: to go on without them, call again with `after=error.oldest_previous_ms / 1000` (0 for None).
        UnknownClock, Refused: the service has no such clock, or refuses the request.
        ChainBroken: the service gives a tick that does not follow the last one, again and again.
        InvalidValue: an argument is wrong. At once, not with the first tick.
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
    """One subscriber's way along a clock's ticks. `last_ms` is the cursor: the last tick given, or where to begin."""

    def __init__(self, client: ServiceClient, clock: str, after_ms: int | None) -> None:
        self._client, self._clock = client, clock
        self._last_ms = after_ms
        self._given = self._lost = False
        self._gaps = 0
        self._backoff = Backoff(_RETRY_FIRST_S, _RETRY_LIMIT_S)

    def ticks(self) -> Iterator[Tick]:
        """See `ticks` above."""
        try:
            while True:
                try:
                    yield from self._one_connection()
                except Unavailable as error:
                    if not self._lost:
                        logger.warning("stream lost: %s", error, extra={"clock": self._clock})
                    self._lost = True
                    time.sleep(self._backoff.next())
        finally:
            self._client.close()

    def _one_connection(self) -> Iterator[Tick]:
        """Raises ServiceUnavailable in the end, when nothing worse happens."""
        params = {"after": None if self._last_ms is None else to_rfc3339(self._last_ms)}
        path = f"/v1/clocks/{self._clock}/ticks/stream"
        with self._client.events(path, params, idle_timeout_s=STREAM_IDLE_TIMEOUT_S) as events:
            for event in events:
                tick = self._read(event)
                if self._lost:
                    logger.info("stream back", extra={"clock": self._clock})
                self._lost = False
                if tick is not None:
                    self._last_ms, self._given, self._gaps = tick.at_ms, True, 0
                    self._backoff.reset()
                    yield tick
        raise ServiceUnavailable("the service ended the stream")

    def _read(self, event: Event) -> Tick | None:
        """The tick to give, if this event brings one."""
        try:
            if event.kind == "state":
                if self._last_ms is None:
                    self._last_ms = int(event.id) * 1000
                return None
            if event.kind == "reset":
                raise self._too_old(Tick.from_wire(json.loads(event.data)["oldest"]))
            return self._checked(Tick.from_wire(json.loads(event.data))) if event.kind == "tick" else None
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceUnavailable(f"an event of the stream makes no sense: {error!r}") from error

    def _checked(self, tick: Tick) -> Tick | None:
        last_ms = self._last_ms
        if last_ms is None or last_ms == 0:
            return tick
        if tick.at_ms <= last_ms:
            return None  # given already
        # A tick that was given must be the one before; a time from elsewhere may lie between two ticks.
        follows = tick.previous_ms == last_ms or (
            not self._given and (tick.previous_ms is None or tick.previous_ms <= last_ms)
        )
        if follows:
            return tick
        self._gaps += 1
        gap = f"tick {to_rfc3339(tick.at_ms)} does not follow {to_rfc3339(last_ms)}"
        if self._gaps >= MAX_CONSECUTIVE_GAPS:
            raise ChainBroken(f"clock {self._clock}: {gap}")
        raise ServiceUnavailable(gap)

    def _too_old(self, oldest: Tick) -> CursorTooOld:
        return CursorTooOld(self._last_ms or 0, oldest.at_ms, oldest.previous_ms)
