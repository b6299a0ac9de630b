"""A due task as the message that Sentry's taskbroker reads from Kafka: `TaskActivation`. Sends nothing."""

import uuid

from clocksvc.errors import SettingsError
from clocksvc.interfaces.platform_task import PlatformTask
from clocksvc.interfaces.task_queue import DueTask

try:
    import msgpack
    from sentry_protos.taskbroker.v1.taskbroker_pb2 import ON_ATTEMPTS_EXCEEDED_DISCARD, RetryState, TaskActivation
except ModuleNotFoundError as error:
    raise SettingsError(
        [
            f"namespaces: a `topic` needs {error.name}, which the extra 'taskbroker' brings: "
            "pip install 'clocksvc[taskbroker]'"
        ]
    ) from error


def encode(task: PlatformTask, sending: DueTask, now_ms: int) -> bytes:
    """The serialised message: the task with the tick as its only argument.

    The arguments are MessagePack in `parameters_bytes`: the JSON of `parameters` is deprecated, the two exclude each
    other, and the platform's workers look for the former first. One attempt: a task that wants more says so in the
    worker, which decides about it.

    Args:
        now_ms: from when on `expires_s` counts.
    """
    arguments = {"args": [sending.tick.to_wire()], "kwargs": {}}
    activation = TaskActivation(
        id=uuid.UUID(sending.id).hex,
        application=task.application,
        namespace=task.namespace,
        taskname=task.name,
        parameters_bytes=msgpack.packb(arguments),
        headers=sending.headers,
        retry_state=RetryState(attempts=0, max_attempts=1, on_attempts_exceeded=ON_ATTEMPTS_EXCEEDED_DISCARD),
        processing_deadline_duration=task.processing_deadline_s,
        expires=task.expires_s,
    )
    activation.received_at.FromMilliseconds(now_ms)
    message: bytes = activation.SerializeToString(deterministic=True)
    return message
