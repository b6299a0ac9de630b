"""Runs all probes with a time limit. Each has its own thread, so a server that is down does not delay the others."""

import threading
from collections.abc import Callable, Iterator

from clocksvc.check.finding import Finding, problem
from clocksvc.check.probe_committed import probe_committed
from clocksvc.check.probe_kafka import NewestTick, probe_kafka
from clocksvc.check.probe_redis import probe_redis
from clocksvc.check.probe_service import probe_service
from clocksvc.check.rules_committed import Stalls, evaluate_drain_delay
from clocksvc.check.rules_kafka import evaluate_reports
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.progress import Snapshot
from clocksvc.interfaces.time import Time
from clocksvc.kafka.cluster_facts import GroupFacts
from clocksvc.settings import Settings

DEADLINE_S = 14.0
DEADLINE_PER_CLOCK_S = 0.01

_ADVICE = {
    "service": "check api.host and api.port",
    "redis": "check that it runs, and that redis.url, password and TLS settings are right",
    "committed offsets": "see the findings on kafka",
    "kafka": "check that it runs, and that kafka.bootstrap.servers, security.protocol and SASL settings are right",
}


def run(settings: Settings, time: Time) -> list[Finding]:
    """Return all findings, grouped by probe.

    Blocks for `DEADLINE_S` at most, and `DEADLINE_PER_CLOCK_S` more for each clock. If a probe takes longer, this is a
    problem among the findings.
    """
    snapshots: dict[str, Snapshot] = {}
    groups: dict[str, GroupFacts] = {}
    newest: list[NewestTick] = []
    stalls: dict[str, Stalls] = {}
    probes = [
        _Probe("service", lambda: probe_service(settings)),
        _Probe("redis", lambda: probe_redis(settings, time, snapshots)),
        _Probe("kafka", lambda: probe_kafka(settings, time, groups, newest)),
        _Probe("committed offsets", lambda: probe_committed(settings, time, stalls)),
    ]
    deadline = time.monotonic() + DEADLINE_S + DEADLINE_PER_CLOCK_S * len(settings.clocks)
    found = [finding for probe in probes for finding in probe.findings(max(0.0, deadline - time.monotonic()))]
    for name, spec in settings.clock_specs().items():
        if name in snapshots and name in groups:
            found += evaluate_reports(spec, groups[name], snapshots[name])
        if name in stalls:
            found += evaluate_drain_delay(spec, stalls[name], newest[0].broker_behind_ms if newest else None)
    return found


class _Probe:
    """A running probe, which collects its findings in a thread."""

    def __init__(self, name: str, probe: Callable[[], Iterator[Finding]]) -> None:
        self._name, self._probe = name, probe
        self._found: list[Finding] = []
        self._thread = threading.Thread(target=self._collect, name=f"check-{name}", daemon=True)
        self._thread.start()

    def findings(self, timeout_s: float) -> list[Finding]:
        """Wait until the probe has ended, for `timeout_s` at most, and return its findings."""
        self._thread.join(timeout_s)
        late = self._thread.is_alive()
        found = list(self._found)
        if late:
            text = "did not answer all requests in time, so this check is not complete"
            found.append(problem(self._name, text, f"check whether {self._name} or the network is slow"))
        return found

    def _collect(self) -> None:
        try:
            for finding in self._probe():
                self._found.append(finding)
        except ClocksvcError as error:
            self._found.append(problem(self._name, str(error), _ADVICE[self._name]))
        except Exception as error:  # otherwise only the thread would end, and the finding would be missing
            self._found.append(problem(self._name, f"the check itself failed: {error!r}", "report this as a bug"))
