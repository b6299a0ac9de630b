"""Creates the demo's topics and keys on servers with other data, and removes them at the end."""

from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from clocksvc.dev.child_process import DevServerError
from clocksvc.dev.demo.demo_config import CLOCK, PARTITIONS, DemoConfig
from clocksvc.errors import StoreUnavailable
from clocksvc.kafka.client import ClientLog, client_settings
from clocksvc.service import bootstrap
from clocksvc.settings import Settings

_QUEUE = "clocksvc"
_BINDINGS = f"_kombu.binding.{_QUEUE}"
_CELERY_KEYS = f"_kombu.binding*.{_QUEUE}*"
_WANTED = (
    "Use a database that only the demo uses: --redis redis://HOST:PORT/9, or the variable REDIS_URL. Without both, the "
    "demo starts a Valkey."
)


def check_redis(settings: Settings) -> None:
    """Check that Redis answers and that no worker of another clocksvc uses the same Celery queue.

    Raises:
        DevServerError: Redis does not answer, or the Celery queue is in use.
    """
    try:
        bootstrap.open_store(settings, settings.clock_specs()[CLOCK]).now_ms()
    except StoreUnavailable as error:
        raise DevServerError(f"{error} {_WANTED}") from error
    if _redis_client(settings).exists(_BINDINGS):
        raise DevServerError(
            f"a worker of another clocksvc uses, or has used, the queue {_QUEUE!r} in this Redis database, so the demo "
            f"could run heartbeats of that clocksvc. {_WANTED}"
        )


def remove_keys(settings: Settings, config: DemoConfig) -> None:
    """Remove the demo's keys. Errors are ignored."""
    # Errors are ignored, because the demo has ended and remaining keys do no harm.
    with suppress(Exception):
        client = _redis_client(settings)
        client.delete(_QUEUE, config.jobs_queue)
        for pattern in (f"{config.prefix}:*", _CELERY_KEYS, f"_kombu.binding.{config.jobs_queue}*"):
            for key in client.scan_iter(match=pattern, count=1_000):
                client.delete(key)


def _redis_client(settings: Settings) -> Any:
    return bootstrap.open_connection(settings).client()


_CREATE_TIMEOUT_S = 5.0
_REMOVE_TIMEOUT_S = 1.0


def create_topics(config: DemoConfig) -> None:
    """Create the topics of both stages, with LogAppendTime. Raises DevServerError if Kafka does not create them."""
    names = [config.topic, config.handled_topic]
    topics = [NewTopic(name, PARTITIONS, -1, config={"message.timestamp.type": "LogAppendTime"}) for name in names]
    admin = _admin(config)
    try:
        for future in admin.create_topics(topics, request_timeout=_CREATE_TIMEOUT_S).values():
            future.result(_CREATE_TIMEOUT_S + 1)
    except (KafkaException, TimeoutError) as error:
        raise DevServerError(
            f"topics {' and '.join(names)} can't be created on the Kafka at {config.bootstrap}: {_reason(error)}. Use "
            "a Kafka without TLS and password: --kafka HOST:PORT, or the variable KAFKA_BOOTSTRAP. Without both, the "
            "demo starts a Kafka."
        ) from error


def remove_topics(config: DemoConfig) -> None:
    """Remove topics and groups. Errors and time-outs are ignored."""
    admin = _admin(config)
    futures = [
        *admin.delete_topics(
            [config.topic, config.handled_topic, config.tick_log, config.checkpoint_topic],
            request_timeout=_REMOVE_TIMEOUT_S,
        ).values(),
        *admin.delete_consumer_groups(
            [config.group, config.second_group, config.dispatcher_group], request_timeout=_REMOVE_TIMEOUT_S
        ).values(),
    ]
    for future in futures:
        with suppress(KafkaException, TimeoutError):
            future.result(_REMOVE_TIMEOUT_S)


def _admin(config: DemoConfig) -> Any:
    return AdminClient(client_settings({"bootstrap.servers": config.bootstrap}), logger=ClientLog())


def _reason(error: Exception) -> str:
    return str(error.args[0].str()) if isinstance(error, KafkaException) and error.args else "no answer in time"
