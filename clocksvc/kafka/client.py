"""What every Kafka client of ours is set to, where its log goes, and what is missing where Kafka refuses something.
Imports no Kafka client.

librdkafka's own lines go to the logger `clocksvc.kafka`, never to stderr. They are warnings at most: whether a lost
connection or a fenced producer matters is for those to say who hold the clock.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

_logger = logging.getLogger("clocksvc.kafka")

_THREAD = re.compile(r"^\[thrd:[^\]]*\]: ")
_REFUSED = "authorization failed"


class ClientLog:
    """Takes one client's log lines where librdkafka's Python client wants a `logging.Logger`.

    Attributes:
        last: the last line, for an error that tells less: a refused certificate or password is told nowhere else.
            Lines come only while the client is polled. Empty it before a question whose failure it is to explain.
    """

    def __init__(self) -> None:
        self.last = ""

    def log(self, level: int, _: str, facility: str, client: str, line: str) -> None:
        self.last = _THREAD.sub("", line)
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


def explain_missing_acl(text: str, rights: Mapping[str, str]) -> str:
    """Kafka's words, and where it refused something, the right that the user lacks.

    Args:
        text: such as `Broker: Topic authorization failed`.
        rights: such as `Write on topic x`, by the first word of the resource's kind: `Topic`, `Transactional`, `Group`.
    """
    if _REFUSED not in text.lower():
        return text
    named = [right for kind, right in rights.items() if f"{kind} " in text]
    right = next(iter(named or rights.values()), "a right that docs/security.md lists")
    return f"{text.rstrip('. ')}: the Kafka user lacks {right}"


def _note_error(error: object) -> None:
    # Must not raise: it would come out of an unrelated poll. What matters comes back from the call that failed, too.
    _logger.debug("kafka client error", extra={"detail": str(error)})
