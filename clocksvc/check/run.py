"""Asks every part, each in a thread of its own and in bounded time: one that is down spoils no other's findings."""

import threading
from collections.abc import Callable, Iterator

from clocksvc.check.finding import Finding, problem
from clocksvc.check.probe_kafka import ask_kafka
from clocksvc.check.probe_redis import ask_redis
from clocksvc.check.probe_service import ask_service
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.time import Time
from clocksvc.settings import Settings

DEADLINE_S = 14.0

_ADVICE = {
    "service": "see api.host and api.port",
    "redis": "see that it runs, and that redis.url, password and TLS settings are right",
    "kafka": "see that it runs, and that kafka.bootstrap.servers, security.protocol and SASL settings are right",
}


def run(settings: Settings, time: Time, deadline_s: float = DEADLINE_S) -> list[Finding]:
    """Every finding, in the order of the parts. What has not answered after `deadline_s` is a problem of its own."""
    asked = [
        _Asked("service", lambda: ask_service(settings)),
        _Asked("redis", lambda: ask_redis(settings, time)),
        _Asked("kafka", lambda: ask_kafka(settings, time)),
    ]
    deadline = time.monotonic() + deadline_s
    return [finding for one in asked for finding in one.findings(max(0.0, deadline - time.monotonic()))]


class _Asked:
    """One part's findings, as they come in."""

    def __init__(self, name: str, ask: Callable[[], Iterator[Finding]]) -> None:
        self._name, self._ask = name, ask
        self._found: list[Finding] = []
        self._thread = threading.Thread(target=self._collect, name=f"check-{name}", daemon=True)
        self._thread.start()

    def findings(self, timeout_s: float) -> list[Finding]:
        """What was found by then."""
        self._thread.join(timeout_s)
        late = self._thread.is_alive()
        found = list(self._found)
        if late:
            text = "has not answered every question in time: what else may be wrong is not known"
            found.append(problem(self._name, text, "see whether it is overloaded, or far away"))
        return found

    def _collect(self) -> None:
        try:
            for finding in self._ask():
                self._found.append(finding)
        except ClocksvcError as error:
            self._found.append(problem(self._name, str(error), _ADVICE[self._name]))
        except Exception as error:  # a thread's traceback would go nowhere
            self._found.append(problem(self._name, f"the check itself failed: {error!r}", "report this as a bug"))
