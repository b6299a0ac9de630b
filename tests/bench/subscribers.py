"""Thousands of clients of streams in one cheap process. Arguments: port, number of clients, interval in s, and clocks.

The clients are shared evenly by the clocks. Prints `ready` once all streams have begun. When a line comes in, it stops
and prints, as JSON, for each clock and tick the milliseconds since the epoch at which each client had it, and any
errors. Shares no code with the service, and little with a real client: it parses only `id:` lines, no JSON.
"""

import json
import os
import re
import resource
import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

AT_ONCE = 100
_ID = re.compile(rb"event: tick\n(?:.*\n)*?id: (\d+)\n")


@dataclass(slots=True)
class Client:
    """One connection: its clock, received bytes without a complete event, and the last tick."""

    connection: socket.socket
    clock: str
    rest: bytes = b""
    begun: bool = False
    last_s: int = 0


class Crowd:
    """All clients, and when each tick came to each of them."""

    def __init__(self, interval_s: int) -> None:
        self.arrivals: dict[str, dict[int, list[int]]] = {}
        self.wrong: list[str] = []
        self.begun = 0
        self._interval_s = interval_s
        self._clients: dict[int, Client] = {}
        self._poll = select.epoll()

    def join(self, port: int, clock: str) -> None:
        """Open one more stream."""
        connection = socket.create_connection(("127.0.0.1", port), 60)
        request = f"GET /v1/clocks/{clock}/ticks/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(request.encode())
        connection.setblocking(False)
        self._clients[connection.fileno()] = Client(connection, clock)
        self._poll.register(connection.fileno(), select.EPOLLIN)

    def listen(self, timeout_s: float) -> None:
        """Read what has come, once."""
        for number, _ in self._poll.poll(timeout_s):
            client = self._clients[number]
            try:
                chunk = client.connection.recv(65_536)
            except ConnectionError:
                chunk = b""
            if chunk:
                self._take(client, client.rest + chunk)
            else:
                self.wrong.append(f"a stream ended after {client.last_s}")
                self._poll.unregister(number)

    def _take(self, client: Client, data: bytes) -> None:
        now_ms = time.time_ns() // 1_000_000
        whole, _, client.rest = data.rpartition(b"\n\n")
        if not client.begun and b"event: state" in whole:
            client.begun = True
            self.begun += 1
        for found in _ID.finditer(whole + b"\n"):
            at_s = int(found[1])
            if client.last_s and at_s != client.last_s + self._interval_s:
                self.wrong.append(f"{at_s} after {client.last_s}")
            client.last_s = at_s
            self.arrivals.setdefault(client.clock, {}).setdefault(at_s, []).append(now_ms)


def main(port: int, count: int, interval_s: int, clocks: Sequence[str]) -> None:
    """Connect, listen until stopped, print."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(interval_s)
    for number in range(1, count + 1):
        crowd.join(port, clocks[number % len(clocks)])
        while number - crowd.begun >= AT_ONCE or (number == count and crowd.begun < count):
            crowd.listen(0.1)
    print("ready", flush=True)
    os.set_blocking(sys.stdin.fileno(), False)
    while not sys.stdin.buffer.read(1):
        crowd.listen(0.05)
    print(json.dumps({"arrivals": crowd.arrivals, "wrong": crowd.wrong[:20]}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
