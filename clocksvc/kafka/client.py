"""Shared librdkafka settings, log forwarding, transactional ids and ACL hints. Does not import confluent_kafka.

librdkafka's log lines go to the logger `clocksvc.kafka`, never to stderr, as warnings at most: only the caller knows
whether a lost connection or a fenced producer is an error.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

_logger = logging.getLogger("clocksvc.kafka")

_THREAD = re.compile(r"^\[thrd:[^\]]*\]: ")
_NOT_AUTHORIZED = "authorization failed"


class ClientLog:
    """Forwards the log lines of one client. Pass it as `logger` to a confluent_kafka client.

    Attributes:
        last: the newest line. librdkafka reports a rejected certificate or password only in its log. Lines arrive only
            while the client is polled. Reset it before a request whose failure it is to explain.
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


def client_settings(settings: Mapping[str, str], **fixed: Any) -> dict[str, Any]:
    """librdkafka settings for one client: the user's settings, overridden by `fixed`.

    Args:
        settings: the user's: addresses, TLS, SASL and any other librdkafka setting.
        fixed: with an underscore where librdkafka has a dot.
    """
    overrides = {name.replace("_", "."): value for name, value in fixed.items()}
    return {"log_level": 4, **settings, **overrides, "allow.auto.create.topics": False, "error_cb": _log_error}


def leader_transactional_id(tick_log: str) -> str:
    """The transactional id with which leaders write a tick log."""
    return f"clocksvc.{tick_log}"


def dispatcher_id(tick_log: str, dispatcher: str) -> str:
    """The transactional id and the consumer group of a dispatcher.

    A topic's name can't contain a colon, so ids of different tick logs, dispatchers and leaders always differ.
    """
    return f"clocksvc.{tick_log}:{dispatcher}"


def explain_missing_acl(text: str, acls: Mapping[str, str]) -> str:
    """Kafka's error text, with the missing permission if the request was not authorized.

    Args:
        text: such as `Broker: Topic authorization failed`.
        acls: the permissions that the request needs, such as `Write on topic x`, by the first word of the resource's
            type: `Topic`, `Transactional`, `Group`.
    """
    if _NOT_AUTHORIZED not in text.lower():
        return text
    matching = [acl for resource, acl in acls.items() if f"{resource} " in text]
    acl = next(iter(matching or acls.values()), "a permission that docs/security.md lists")
    return f"{text.rstrip('. ')}: the Kafka user lacks {acl}"


def _log_error(error: object) -> None:
    # Must not raise: the exception would come out of an unrelated poll. The failed call reports the error, too.
    _logger.debug("kafka client error", extra={"detail": str(error)})
