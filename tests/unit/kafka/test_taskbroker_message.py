"""The message for the task platform, byte for byte, against the published Protobuf definition."""

import subprocess
import sys
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sentry_protos.taskbroker.v1 import taskbroker_pb2

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.interfaces.task_routes import OnExhaustion, PlatformTask, worker_namespace
from clocksvc.kafka.taskbroker import encode
from tests.unit.kafka.binary_formats import number, packed, text

pytestmark = pytest.mark.core

AT_MS, NOW_MS = 1_795_348_800_000, 1_795_348_800_123
TICK = Tick("checkins", AT_MS, AT_MS - 60_000, 60_000, AT_MS + 40)
DUE_TASK = DueTask("clocksvc", "checkins", "tasks", "shop.close_minute", AT_MS, TICK)
TASK = PlatformTask("taskworker-ingest", "shop", "ingest.checkins", "shop.close_minute", 300)
WIRE_TICK = {
    "clock": "checkins",
    "time": "2026-11-22T12:00:00Z",
    "timestamp_seconds": 1_795_348_800,
    "previous": "2026-11-22T11:59:00Z",
    "interval_seconds": 60,
    "emitted_at": "2026-11-22T12:00:00.040Z",
    "excluded": [],
}
NUMBERS = {
    "TaskActivation": {
        "id": 1,
        "namespace": 2,
        "taskname": 3,
        "parameters": 4,
        "headers": 5,
        "received_at": 6,
        "retry_state": 7,
        "processing_deadline_duration": 8,
        "expires": 9,
        "delay": 11,
        "application": 12,
        "parameters_bytes": 13,
    },
    "RetryState": {
        "attempts": 1,
        "max_attempts": 2,
        "on_attempts_exceeded": 3,
        "at_most_once": 4,
        "delay_on_retry": 5,
    },
}


ONE_ATTEMPT = number(2, 1) + number(3, 1)
"""A retry state with one attempt, then ON_ATTEMPTS_EXCEEDED_DISCARD."""


def expected_message(
    task: PlatformTask, expires: bytes = b"", retry_state: bytes = ONE_ATTEMPT, **kwargs: Any
) -> bytes:
    """The expected message, field by field. Protobuf omits fields that are zero."""
    headers = {
        "clocksvc-clock": "checkins",
        "clocksvc-due": "2026-11-22T12:00:00Z",
        "clocksvc-id": DUE_TASK.id,
        "clocksvc-tick": "2026-11-22T12:00:00Z",
    }
    return b"".join(
        [
            text(1, DUE_TASK.id.replace("-", "")),
            text(2, task.namespace),
            text(3, task.name),
            *(text(5, text(1, name) + text(2, value)) for name, value in headers.items()),
            text(6, number(1, NOW_MS // 1000) + number(2, NOW_MS % 1000 * 1_000_000)),
            text(7, retry_state),
            number(8, task.processing_deadline_s),
            expires,
            text(12, task.application),
            text(13, packed({"args": [WIRE_TICK], "kwargs": kwargs})),
        ]
    )


@pytest.mark.parametrize("message", list(NUMBERS))
def test_the_numbers_are_the_published_ones(message: str) -> None:
    """The field numbers of `expected_message` are those of the published definition, which has no other fields."""
    published = taskbroker_pb2.DESCRIPTOR.message_types_by_name[message].fields

    assert {field.name: field.number for field in published} == NUMBERS[message]
    assert taskbroker_pb2.ON_ATTEMPTS_EXCEEDED_DISCARD == 1
    assert taskbroker_pb2.ON_ATTEMPTS_EXCEEDED_DEADLETTER == 2


def test_a_message_is_written_byte_for_byte() -> None:
    """Equal to the output of an independent encoder."""
    assert encode(TASK, DUE_TASK, NOW_MS) == expected_message(TASK)


def test_an_expiry_is_written_if_a_task_has_one() -> None:
    """Without one the field is absent, which differs from zero."""
    task = PlatformTask("t", "shop", "ingest", "shop.close_minute", 10, 3600)

    assert encode(task, DUE_TASK, NOW_MS) == expected_message(task, number(9, 3600))


@pytest.mark.parametrize(
    ("task", "retry_state"),
    [
        (replace(TASK, max_attempts=3), number(2, 3) + number(3, 1)),
        (replace(TASK, max_attempts=2, on_exhaustion=OnExhaustion.DEAD_LETTER), number(2, 2) + number(3, 2)),
        (replace(TASK, at_most_once=True), ONE_ATTEMPT + number(4, 1)),
    ],
)
def test_the_retry_state_is_the_tasks(task: PlatformTask, retry_state: bytes) -> None:
    """Attempts, what follows the last one, and whether a task without a result is delivered again."""
    assert encode(task, DUE_TASK, NOW_MS) == expected_message(task, retry_state=retry_state)


def test_further_arguments_are_keyword_arguments() -> None:
    """The tick is the first positional one."""
    arguments: dict[str, Any] = {"region": "eu", "depth": 2, "flags": [True, None]}

    assert encode(replace(TASK, arguments=arguments), DUE_TASK, NOW_MS) == expected_message(TASK, **arguments)


def test_the_id_names_the_installation() -> None:
    """Two installations with equal names of clock and task send different tasks; the header has the id, too."""
    ids = set()
    for installation in ("production", "staging"):
        activation = taskbroker_pb2.TaskActivation.FromString(
            encode(TASK, replace(DUE_TASK, installation=installation), NOW_MS)
        )
        assert activation.headers["clocksvc-id"].replace("-", "") == activation.id
        ids.add(activation.id)

    assert len(ids) == 2


def test_the_published_class_reads_it() -> None:
    """Every field has the expected value; the tick is the only argument."""
    activation = taskbroker_pb2.TaskActivation.FromString(encode(TASK, DUE_TASK, NOW_MS))

    assert UUID(activation.id) == UUID(DUE_TASK.id)
    assert activation.received_at.ToMilliseconds() == NOW_MS
    assert (activation.application, activation.namespace, activation.taskname) == (
        "shop",
        "ingest.checkins",
        "shop.close_minute",
    )
    assert (activation.HasField("expires"), activation.HasField("delay"), activation.parameters) == (False, False, "")
    assert activation.retry_state.at_most_once is False


def test_a_duplicate_has_the_same_content() -> None:
    """All fields but the time from which the expiry counts."""
    first, again = (taskbroker_pb2.TaskActivation.FromString(encode(TASK, DUE_TASK, at)) for at in (NOW_MS, NOW_MS + 9))
    assert first != again

    again.received_at.CopyFrom(first.received_at)

    assert first == again


@pytest.mark.parametrize(
    ("route", "namespace"),
    [("ingest.errors.refresh", "ingest.errors"), ("ingest.refresh", "ingest"), ("refresh", "refresh")],
)
def test_a_namespace_is_a_name_without_its_last_part(route: str, namespace: str) -> None:
    """It does not depend on the routes, because workers register tasks under it."""
    assert worker_namespace(route) == namespace


@pytest.mark.parametrize("missing", ["msgpack", "sentry_protos"])
def test_a_missing_package_is_named_with_its_extra(missing: str) -> None:
    """By the import of the task broker alone; other modules do not need it."""
    script = f"""
import sys
sys.modules[{missing!r}] = None
import clocksvc.celery.task_queue, clocksvc.service.bootstrap
from clocksvc.errors import SettingsError
try:
    import clocksvc.kafka.taskbroker
except SettingsError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert f"needs the package {missing}" in done.stdout
    assert "pip install 'clocksvc[taskbroker]'" in done.stdout
