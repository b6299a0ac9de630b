"""Elements of a Celery queue in Redis that are not messages are logged and dropped. kombu would end the worker.

Who can write to Redis can put any bytes into a queue. `GuardedAMQP` is for the service's own app. Other brokers than
Redis check their messages themselves.
"""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from celery.app.amqp import AMQP
from kombu.connection import Connection

from clocksvc.interfaces.time import SystemTime
from clocksvc.runtime.repeated_lines import RepeatedLines

logger = logging.getLogger("clocksvc.celery")
_repeated_lines = RepeatedLines(logger)
_time = SystemTime()

BROKEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What kombu and Celery raise for bytes that are not a message. None of these is an error of the connection."""

_MAX_SHOWN = 100


def log_dropped(queue: str, what: object, error: object) -> None:
    """Log that an element of a queue was dropped. A flood of such elements is one line each 30 s."""
    shown = repr(what)[:_MAX_SHOWN]
    _repeated_lines.log(
        _time.monotonic(),
        logging.ERROR,
        queue,
        "an element of the queue %s was dropped, because it is not a Celery message: %s: %s",
        queue,
        repr(error)[:_MAX_SHOWN],
        shown,
    )


class GuardedConnection(Connection):
    """A connection to the broker that drops broken elements. It stays one after a failover to another Sentinel."""

    def create_transport(self) -> Any:
        """Called by kombu for each connection."""
        transport: Any = super().create_transport()  # type: ignore[no-untyped-call]
        if self.transport_cls in ("redis", "rediss", "sentinel"):
            transport.Channel = _guarded(transport.Channel)
            transport._deliver = _checked(transport._deliver)
        return transport


class GuardedAMQP(AMQP):  # type: ignore[misc]  # Celery has no type annotations
    """Opens guarded connections."""

    Connection = GuardedConnection


@cache
def _guarded(channel: type[Any]) -> type[Any]:
    """Return a subclass of kombu's Redis channel. In `_brpop_read`, kombu parses an element and delivers it."""

    class GuardedChannel(channel):  # type: ignore[misc]  # the base class is known only at run time
        def _brpop_read(self, **options: Any) -> Any:
            try:
                return super()._brpop_read(**options)
            # The element is not JSON or not UTF-8, or has a value that kombu can't restore.
            except (ValueError, ArithmeticError, RecursionError) as error:
                log_dropped(", ".join(sorted(self.active_queues)), getattr(error, "doc", ""), error)
            return True

    return GuardedChannel


def _checked(deliver: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    """Return a function that delivers an element if it is an envelope, and drops it otherwise."""

    def deliver_checked(message: Any, queue: str) -> None:
        if not _is_envelope(message):
            log_dropped(queue, message, "no envelope")
            return
        try:
            deliver(message, queue)
        except BROKEN as error:
            log_dropped(queue, message, error)

    return deliver_checked


def _is_envelope(message: Any) -> bool:
    """True if kombu can acknowledge and reject the message."""
    if not isinstance(message, dict) or not isinstance(message.get("headers", {}), dict):
        return False
    properties = message.get("properties")
    if not isinstance(properties, dict) or not isinstance(properties.get("delivery_tag"), str):
        return False
    delivery = properties.get("delivery_info")
    return isinstance(delivery, dict) and all(isinstance(delivery.get(name), str) for name in _ROUTE)


_ROUTE = ("exchange", "routing_key")
