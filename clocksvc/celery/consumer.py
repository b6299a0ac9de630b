"""The worker's side of the broker: it outlives a broker that goes away in the middle of a round."""

import logging
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer

logger = logging.getLogger("clocksvc.celery")


class ReconnectSafeConsumer(Consumer):  # type: ignore[misc]  # Celery carries no types
    """Celery's consumer, which leaves the messages of a lost connection alone.

    They can be neither put back nor acknowledged: kombu 5.7 fails at both with an AttributeError, which ends the
    worker. The broker gives them out anew by itself; a round put twice is harmless.
    """

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Celery's hook: the connection is lost; after this it is made anew."""
        for channel in getattr(self.connection.transport, "channels", None) or ():
            channel.do_restore = False
        super().on_connection_error_after_connected(exc)

    def call_soon_ack(self, p: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Celery's hook: `p` acknowledges or rejects the message that it is a method of."""

        def unless_lost(*last: Any, **named: Any) -> None:
            message: Any = getattr(p, "__self__", None)
            if getattr(getattr(message, "channel", None), "closed", False):
                logger.warning("broker connection lost before a message was acknowledged")
            else:
                p(*last, **named)

        return super().call_soon_ack(unless_lost, *args, **kwargs)
