"""Every operation of a worker and a beat on their broker, once, with Celery's own code and our app."""

import time
from collections.abc import Callable, Iterator
from typing import Any

_WAIT_S = 2.0

Handle = Callable[[Any, Any], object]


def first_error(app: Any) -> str | None:
    """The error of the first step that fails; None if all succeed."""
    app.conf.broker_transport_options |= {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    for step in _steps(app):
        try:
            step()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return None


def _steps(app: Any) -> Iterator[Callable[[], object]]:
    def send() -> None:
        app.send_task("clocksvc.heartbeat", args=("checkins", 0), queue="clocksvc", retry=False)

    yield send
    yield lambda: _take(app, lambda _, message: message.ack())
    yield send
    yield lambda: _take(app, lambda _, message: message.requeue())
    yield lambda: _take(app, lambda _, message: None)  # a worker that ends returns an unfinished message
    yield lambda: _take(app, _lose)
    yield lambda: _take(app, lambda _, message: message.ack())
    yield lambda: _be_controlled(app)


def _take(app: Any, handle: Handle) -> None:
    """Wait for one message, as a worker does, and handle it."""
    taken: list[Any] = []

    def on_message(message: Any) -> None:
        taken.append(message)
        handle(channel, message)

    with app.connection_for_read() as connection:
        channel = connection.default_channel
        with app.amqp.TaskConsumer(channel, on_message=on_message):
            deadline = time.monotonic() + _WAIT_S
            while not taken and time.monotonic() < deadline:
                _drain(connection)
    assert taken, "no message came"


def _lose(channel: Any, _: object) -> None:
    """As if its worker had been killed long ago: another one restores the message."""
    channel.visibility_timeout = -10
    channel.qos.restore_visible(interval=1)
    channel.qos._delivered.clear()


def _be_controlled(app: Any) -> None:
    """A worker's remote control, and its heartbeat event."""
    with app.connection_for_read() as connection:
        node = app.control.mailbox.Node("worker", channel=connection.default_channel)
        consumer = node.listen(callback=lambda *_: None)
        events = app.events.Dispatcher(connection)
        events.enable()
        events.send("worker-heartbeat")
        events.close()
        _drain(connection)
        consumer.cancel()


def _drain(connection: Any) -> None:
    try:
        connection.drain_events(timeout=0.2)
    except TimeoutError:
        return
