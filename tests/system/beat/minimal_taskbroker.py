"""A small taskbroker, so that tests can run real workers of the task platform.

The real taskbroker is a Rust program. This one imitates only what decides how often a task runs and where it ends:
activations from a topic, the gRPC service for workers, deadlines, retries and the dead-letter topic. The rules are
those of its modules `store` and `upkeep`. It has no database, expiry, delays, push mode or grace period, and `GetTask`
waits for a task, so that workers do not back off.
"""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import grpc
from confluent_kafka import Consumer, Producer, TopicPartition
from sentry_protos.taskbroker.v1 import taskbroker_pb2 as wire
from sentry_protos.taskbroker.v1 import taskbroker_pb2_grpc

GET_TASK_TIMEOUT_S = 30.0
_UPKEEP_S = 0.05


@dataclass
class Row:
    """An activation that the broker has. `deadline` is None while no worker has it."""

    activation: wire.TaskActivation
    deadline: float | None = None


class MinimalTaskbroker(taskbroker_pb2_grpc.ConsumerServiceServicer):
    """One taskbroker of one topic. Its address is `address`; `events` are its decisions, in order.

    An event is (decision, activation). Decisions: `given`, `completed`, `retried`, `given again` (no result before the
    deadline), `discarded`, `dead-lettered`.
    """

    def __init__(self, bootstrap: str, topic: str, partitions: int, dead_letter_topic: str) -> None:
        self._topic, self._dead_letter_topic = topic, dead_letter_topic
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "taskbroker"})
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        self._rows: dict[str, Row] = {}
        self._changed = threading.Condition()
        self._closing = False
        self.events: list[tuple[str, wire.TaskActivation]] = []
        self._server = grpc.server(ThreadPoolExecutor(max_workers=8))
        taskbroker_pb2_grpc.add_ConsumerServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._upkeep = threading.Thread(target=self._run, name="taskbroker")

    def __enter__(self) -> Self:
        self._server.start()
        self._upkeep.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._upkeep.join()
        self._server.stop(None).wait()
        self._consumer.close()

    def decisions(self, taskname: str, tick: str) -> list[str]:
        """The decisions about a task of one tick, in order."""
        with self._changed:
            return [
                decision
                for decision, one in self.events
                if (one.taskname, one.headers["clocksvc-tick"]) == (taskname, tick)
            ]

    # -- the service ------------------------------------------------------------------------------------------------

    def GetTask(self, request: wire.GetTaskRequest, context: Any) -> wire.GetTaskResponse:
        """Give a pending activation of the application to a worker. NOT_FOUND if there is none within 30 s."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._pending(request.application), GET_TASK_TIMEOUT_S)
            row = self._pending(request.application)
            if row is None or self._closing:
                context.abort(grpc.StatusCode.NOT_FOUND, "No pending activations")
            assert row is not None
            return wire.GetTaskResponse(task=self._give(row))

    def SetTaskStatus(self, request: wire.SetTaskStatusRequest, context: Any) -> wire.SetTaskStatusResponse:
        """Apply a worker's result; give it another activation if it asks for one."""
        with self._changed:
            row = self._rows.pop(request.id, None)
            if row is not None:
                self._finish(row.activation, request)
            following = (
                self._pending(request.fetch_next_task.application) if request.HasField("fetch_next_task") else None
            )
            return wire.SetTaskStatusResponse(task=None if following is None else self._give(following))

    def SetBatchActivationStatus(
        self, request: wire.SetBatchActivationStatusRequest, context: Any
    ) -> wire.SetBatchActivationStatusResponse:
        """Only for push mode."""
        raise NotImplementedError

    def _pending(self, application: str) -> Row | None:
        pending = (row for row in self._rows.values() if row.deadline is None)
        return next((row for row in pending if row.activation.application == application), None)

    def _give(self, row: Row) -> wire.TaskActivation:
        row.deadline = time.monotonic() + row.activation.processing_deadline_duration
        self.events.append(("given", row.activation))
        return row.activation

    def _finish(self, activation: wire.TaskActivation, result: wire.SetTaskStatusRequest) -> None:
        if result.status == wire.TASK_ACTIVATION_STATUS_COMPLETE:
            self.events.append(("completed", activation))
        elif result.status == wire.TASK_ACTIVATION_STATUS_RETRY:
            self._retry(activation, result)
        else:
            self._fail(activation)

    def _retry(self, activation: wire.TaskActivation, result: wire.SetTaskStatusRequest) -> None:
        again = wire.TaskActivation()
        again.CopyFrom(activation)
        again.id = str(uuid.uuid4())
        again.received_at.GetCurrentTime()
        again.retry_state.attempts += 1
        if result.HasField("max_attempts"):
            again.retry_state.max_attempts = result.max_attempts
        self._produce(self._topic, again)
        self.events.append(("retried", activation))

    def _fail(self, activation: wire.TaskActivation) -> None:
        if activation.retry_state.on_attempts_exceeded == wire.ON_ATTEMPTS_EXCEEDED_DEADLETTER:
            self._produce(self._dead_letter_topic, activation)
            self.events.append(("dead-lettered", activation))
        else:
            self.events.append(("discarded", activation))

    def _produce(self, topic: str, activation: wire.TaskActivation) -> None:
        self._producer.produce(topic, activation.SerializeToString())
        assert self._producer.flush(10) == 0

    # -- the topic and the deadlines --------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing:
            records = self._consumer.consume(100, _UPKEEP_S)
            with self._changed:
                for record in records:
                    assert record.error() is None, record.error()
                    activation = wire.TaskActivation.FromString(record.value() or b"")
                    self._rows.setdefault(activation.id, Row(activation))  # a second one with the same id is ignored
                for row in list(self._rows.values()):
                    if row.deadline is not None and row.deadline < time.monotonic():
                        self._miss_deadline(row)
                self._changed.notify_all()

    def _miss_deadline(self, row: Row) -> None:
        if row.activation.retry_state.at_most_once:
            del self._rows[row.activation.id]
            self._fail(row.activation)
        else:
            row.deadline = None
            self.events.append(("given again", row.activation))
