"""What a subscriber of a clock's ticks does with its connections. No I/O, no reading of time.

`ticks` and `aio` send the requests, pass what they receive, and wait for the delays that this module returns. Ticks
are never skipped. Only errors that a retry can't resolve are raised.
"""

import json
import logging
from collections.abc import Iterator

from clocksvc.client.boundary_wait import Moment, moment_ms
from clocksvc.client.exchange import Request, stream_request
from clocksvc.client.sse import Event, EventParser
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.tick import Tick, cursor_too_old
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ChainBroken, InvalidValue, ServiceUnavailable, Unavailable
from clocksvc.runtime.backoff import CONNECTION, Backoff

logger = logging.getLogger("clocksvc.ticks")

STREAM_IDLE_TIMEOUT_S = 40.0
"""A stream counts as lost after this time without data, because the service writes at least a comment every 15 s."""
MAX_CONSECUTIVE_GAPS = 5
"""After this many connections in a row with a gap in the chain of ticks, ChainBroken is raised."""


class TickSubscription:
    """The position of one subscriber, over all of its connections. Not thread-safe.

    For each connection, `request` is called first. Then `received` is called for each part of the response's body, and
    at the end `ended` or `failed`. A connection may also be abandoned.

    Args:
        clock: the name of the clock.
        after: see `clocksvc.ticks`.

    Raises:
        InvalidValue: an argument is not valid.
    """

    def __init__(self, clock: str, after: Moment | Tick | None) -> None:
        check_clock_name("clock", clock)
        self._clock = clock
        self._last_ms = None if after is None else _after_ms(clock, after)  # the last yielded tick, or the start time
        self._yielded = self._lost = False
        self._gaps = 0
        self._backoff = Backoff(CONNECTION)
        self._parser = EventParser()

    def request(self) -> Request:
        """Return the request of the next connection, which continues after the last tick that was yielded."""
        self._parser = EventParser()
        params = {"after": None if self._last_ms is None else to_rfc3339(self._last_ms)}
        path = f"/v1/clocks/{self._clock}/ticks/stream"
        return stream_request(path, params, idle_timeout_s=STREAM_IDLE_TIMEOUT_S)

    def received(self, part: bytes) -> Iterator[Tick]:
        """Yield the ticks that are complete with this part. A tick counts as yielded once the iterator gave it.

        Raises:
            CursorTooOld, ChainBroken: see `clocksvc.ticks`.
            ServiceUnavailable: the content is not valid, or a tick is missing. Pass it to `failed`.
        """
        for event in self._parser.feed(part):
            tick = self._read(event)
            if self._lost:
                text = "stream of clock %s connected again, it resumes %s"
                logger.info(text, self._clock, self._position(), extra={"clock": self._clock})
            self._lost = False
            if tick is not None:
                self._last_ms, self._yielded, self._gaps = tick.at_ms, True, 0
                self._backoff.reset()
                yield tick

    def ended(self) -> float:
        """Record that the service ended the response. Return as `failed`."""
        return self.failed(ServiceUnavailable("the service ended the stream"))

    def failed(self, error: Unavailable) -> float:
        """Record that the connection failed, and log it, once until the next event.

        Returns:
            The seconds to wait before the next connection.
        """
        if not self._lost:
            text = "stream of clock %s lost, it resumes %s: %s"
            logger.warning(text, self._clock, self._position(), error, extra={"clock": self._clock})
        self._lost = True
        return self._backoff.next()

    def _position(self) -> str:
        return "with the next tick" if self._last_ms is None else f"after {to_rfc3339(self._last_ms)}"

    def _read(self, event: Event) -> Tick | None:
        """Return the tick to yield; None if the event has no tick to yield."""
        try:
            if event.kind == "state":
                if self._last_ms is None:
                    self._last_ms = int(event.id) * 1000
                return None
            if event.kind == "reset":
                raise cursor_too_old(self._last_ms or 0, Tick.from_wire(json.loads(event.data)["oldest"]))
            return self._checked(Tick.from_wire(json.loads(event.data))) if event.kind == "tick" else None
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceUnavailable(f"an event of the stream is not valid: {error!r}") from error

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


def _after_ms(clock: str, after: Moment | Tick) -> int:
    if not isinstance(after, Tick):
        return moment_ms("after", after)
    if after.clock != clock:
        raise InvalidValue("after", after, f"wanted a tick of clock {clock!r}")
    return after.at_ms
