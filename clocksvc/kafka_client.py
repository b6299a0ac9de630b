"""What every Kafka client of ours is set to, and where its log goes. Imports no Kafka client.

librdkafka's own lines go to the logger `clocksvc.kafka`, never to stderr. They are warnings at most: whether a lost
connection or a fenced producer matters is for those to say who hold the clock.
"""

import logging
from collections.abc import Mapping
from typing import Any

_logger = logging.getLogger("clocksvc.kafka")


class ClientLog:
    """Takes librdkafka's log lines where its Python client wants a `logging.Logger`."""

    def log(self, level: int, _: str, facility: str, client: str, line: str) -> None:
        _logger.log(
            min(level, logging.WARNING),
            "kafka client",
            extra={"facility": facility, "client": client, "detail": line},
        )


def client_settings(settings: Mapping[str, str], **ours: Any) -> dict[str, Any]:
    """librdkafka settings for one client: the user's, then ours, which win.

    Args:
        settings: the user's: addresses, TLS, SASL, and whatever else they set.
        ours: with an underscore where librdkafka has a dot.
    """
    fixed = {name.replace("_", "."): value for name, value in ours.items()}
    return {"log_level": 4, **settings, **fixed, "allow.auto.create.topics": False, "error_cb": _note_error}


def _note_error(error: object) -> None:
    # Must not raise: it would come out of an unrelated poll. What matters comes back from the call that failed, too.
    _logger.debug("kafka client error", extra={"detail": str(error)})
