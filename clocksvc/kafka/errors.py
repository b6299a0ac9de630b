"""What librdkafka raises, in our words. Nothing of it gets out of this folder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import cast

from confluent_kafka import KafkaError, KafkaException

from clocksvc.errors import TickLogUnavailable
from clocksvc.kafka.client import explain_missing_acl

FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}


def error_of(raised: KafkaException) -> KafkaError:
    """The error that an exception carries."""
    return cast(KafkaError, raised.args[0])


def is_fenced(raised: KafkaException) -> bool:
    """Somebody with the same transactional id took over."""
    return error_of(raised).code() in FENCED


def describe_error(raised: KafkaException | None, rights: Mapping[str, str]) -> str:
    """Why, for a message; None is a deadline without any answer. `rights`: as `explain_missing_acl` takes them."""
    return "no answer" if raised is None else explain_missing_acl(error_of(raised).str(), rights)


@contextmanager
def translated(what: str, rights: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Raises TickLogUnavailable for whatever librdkafka raises inside."""
    try:
        yield
    except KafkaException as raised:
        raise TickLogUnavailable(f"{what}: {describe_error(raised, rights)}") from raised
