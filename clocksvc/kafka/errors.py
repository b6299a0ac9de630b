"""Translates librdkafka's errors into clocksvc's. No exception of confluent_kafka leaves this package."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException

from clocksvc.errors import Unavailable
from clocksvc.kafka.client import explain_missing_acl

NO_ANSWER = {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}
UNKNOWN_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError.TOPIC_EXCEPTION}
NOT_AUTHORIZED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}

NO_ACLS: Mapping[str, str] = MappingProxyType({})


def error_of(raised: KafkaException) -> KafkaError:
    """The error inside an exception."""
    return cast(KafkaError, raised.args[0])


def error_code(future: "Future[Any]") -> int | None:
    """The error code with which a finished admin request failed; None if it succeeded."""
    raised = future.exception(0)
    return error_of(raised).code() if isinstance(raised, KafkaException) else None


def is_fenced(raised: KafkaException) -> bool:
    """True if a newer producer with the same transactional id fenced this one."""
    return error_of(raised).code() in _FENCED


def describe_error(raised: KafkaException | None, acls: Mapping[str, str] = NO_ACLS) -> str:
    """The reason of a failure, for an error message. None means that no answer came before the deadline.

    Args:
        acls: see `explain_missing_acl`.
    """
    return "no answer" if raised is None else explain_missing_acl(error_of(raised).str().strip(), acls)


@contextmanager
def translate_errors(unavailable: type[Unavailable], failure: str, acls: Mapping[str, str] = NO_ACLS) -> Iterator[None]:
    """Raises `unavailable`, with a text such as `FAILURE: Broker: Topic authorization failed`, for a KafkaException."""
    try:
        yield
    except KafkaException as raised:
        raise unavailable(f"{failure}: {describe_error(raised, acls)}") from raised
