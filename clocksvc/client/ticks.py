"""`ticks`, which yields a clock's ticks over HTTP as soon as they are published. It blocks; `aio` is for asyncio."""

import time
from collections.abc import Iterator

from clocksvc.client.boundary_wait import Moment
from clocksvc.client.http import ServiceClient
from clocksvc.client.tick_subscription import TickSubscription
from clocksvc.clock.tick import Tick
from clocksvc.errors import Unavailable


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
    return _follow(TickSubscription(clock, after), ServiceClient(url, token))


def _follow(subscription: TickSubscription, client: ServiceClient) -> Iterator[Tick]:
    try:
        while True:
            try:
                with client.parts(subscription.request()) as parts:
                    for part in parts:
                        yield from subscription.received(part)
                delay_s = subscription.ended()
            except Unavailable as error:
                delay_s = subscription.failed(error)
            time.sleep(delay_s)
    finally:
        client.close()
