"""Reads ticks from the service's stream and its state over HTTP."""

import json
import threading
from queue import Empty, SimpleQueue
from typing import Any

from clocksvc.client.http import ServiceClient
from clocksvc.client.sse import Event
from clocksvc.clock.tick import Tick
from clocksvc.dev.demo.demo_config import CLOCK
from clocksvc.errors import ClocksvcError, Unavailable
from clocksvc.service.public_state import PublicState, state_from_wire

_SILENCE_S = 40.0
_AGAIN_S = 0.2
_STATE_EVERY_S = 0.25
_ANSWER_S = 5.0


class ServiceWatch:
    """Two threads that read one clock of one service, from its first tick until `stop`."""

    def __init__(self, url: str) -> None:
        self.failure: Exception | None = None
        self.state: PublicState | None = None
        """The last answer of `GET /v1/clocks/{clock}`; None before the first."""
        self._url = url
        self._ticks: SimpleQueue[Tick] = SimpleQueue()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), name=f"demo-watch-{name}", daemon=True)
            for name, run in (("ticks", self._follow), ("state", self._ask))
        ]

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads. The stream's thread ends when the service closes the stream."""
        self._stop.set()

    def new_ticks(self) -> list[Tick]:
        """The ticks received since the last call, in order of arrival."""
        ticks = []
        try:
            while True:
                ticks.append(self._ticks.get_nowait())
        except Empty:
            return ticks

    def _guarded(self, run: Any) -> None:
        client = ServiceClient(self._url)
        try:
            run(client)
        except ClocksvcError as error:
            self.failure = error
        finally:
            client.close()

    def _follow(self, client: ServiceClient) -> None:
        # Not `clocksvc.ticks`: it repairs a broken chain by reading again, and the demo must detect one.
        last_id = "0"
        while not self._stop.is_set():
            try:
                with client.events(_stream(), last_id=last_id, idle_timeout_s=_SILENCE_S) as events:
                    for event in events:
                        last_id = event.id or last_id
                        self._take(event)
            except Unavailable:
                self._stop.wait(_AGAIN_S)

    def _take(self, event: Event) -> None:
        if event.kind == "tick":
            self._ticks.put(Tick.from_wire(json.loads(event.data)))
        elif event.kind == "reset":
            raise ClocksvcError(f"the service refused to go on with the stream: {event.data}")

    def _ask(self, client: ServiceClient) -> None:
        while not self._stop.wait(_STATE_EVERY_S):
            try:
                self.state = state_from_wire(client.get(f"/v1/clocks/{CLOCK}", timeout_s=_ANSWER_S).body)
            except Unavailable:
                continue


def _stream() -> str:
    return f"/v1/clocks/{CLOCK}/ticks/stream"
