"""A real Prometheus as a child process that scrapes each second, unless set, and its answers to queries."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

from clocksvc.dev.child_server import ChildServer
from tests import http_client

SCRAPE_EVERY_S = 1


class Series(NamedTuple):
    """One series of an answer: its labels, and its samples as (epoch seconds, value), at least one."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]

    @property
    def value(self) -> float:
        """The last sample's value."""
        return self.samples[-1][1]


class PrometheusServer(ChildServer):
    """One Prometheus.

    Args:
        program: its path.
        targets: "host:port" of each replica: the job `clocksvc`.
        rules: files of rule groups.
        consumers: "host:port" of each process with a consumer or a relay of an outbox: the job `consumers`.
        schedulers: "host:port" of each scheduler: the job `schedulers`.
        every_s: the time between two scrapes, and between two evaluations.
    """

    name: ClassVar[str] = "Prometheus"
    ready_line: ClassVar[str] = "Server is ready to receive web requests"

    def __init__(
        self,
        program: Path,
        targets: Iterable[str],
        rules: Iterable[Path] = (),
        consumers: Iterable[str] = (),
        schedulers: Iterable[str] = (),
        *,
        every_s: int = SCRAPE_EVERY_S,
    ) -> None:
        super().__init__(data_dir=None, ports=[None])
        self._program = program
        self._jobs = {"clocksvc": list(targets), "consumers": list(consumers), "schedulers": list(schedulers)}
        self._rules = [str(path) for path in rules]
        self._every = f"{every_s}s"

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://127.0.0.1:{self.port}"

    def query(self, expression: str, at_s: float | None = None) -> list[Series]:
        """The series of an expression at one moment: now, unless given."""
        found = self._ask("query", query=expression, **({} if at_s is None else {"time": at_s}))
        return [_series(one["metric"], [one["value"]]) for one in found["result"]]

    def query_range(self, expression: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        """The series of an expression over time."""
        found = self._ask("query_range", query=expression, start=start_s, end=end_s, step=step_s)
        return [_series(one["metric"], one["values"]) for one in found["result"]]

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values that a label has in the series of a selector."""
        values: list[str] = self._ask(f"label/{label}/values", **{"match[]": selector})
        return values

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health, its last error and its state."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def evaluation_s(self) -> float:
        """How long the last evaluation of all rules took."""
        return sum(float(rule["evaluationTime"]) for rule in self.rules())

    def _ask(self, what: str, **arguments: Any) -> Any:
        answer = http_client.get(f"{self.url}/api/v1/{what}", params=arguments, timeout=10)
        assert answer.status_code == 200, f"{arguments}: {answer.text}"
        return answer.json()["data"]

    def _prepare(self) -> None:
        config = {
            "global": {
                "scrape_interval": self._every,
                "scrape_timeout": self._every,
                "evaluation_interval": self._every,
            },
            "rule_files": self._rules,
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": targets}]} for job, targets in self._jobs.items()
            ],
        }
        (self.directory / "prometheus.yml").write_text(yaml.safe_dump(config))

    def _command(self) -> list[str]:
        return [
            str(self._program),
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]


def _series(labels: Mapping[str, str], values: Iterable[tuple[float, str]]) -> Series:
    return Series(labels, [(at_s, float(value)) for at_s, value in values])
