"""The sink that posts reports to the HTTP service, which stands in front of a store."""

from typing import cast

from clocksvc.client.http import ServiceClient
from clocksvc.client.report_encoding import (
    answer_from_wire,
    report_to_wire,
)
from clocksvc.errors import ServiceUnavailable
from clocksvc.interfaces.store import (
    Report,
    ReportAnswer,
)

TIMEOUT_S = 10.0


class HttpReportSink:
    """Posts reports to the service."""

    def __init__(self, client: ServiceClient, clock: str) -> None:
        self._client = client
        self._path = f"/v1/clocks/{clock}/reports"

    def report(self, report: Report) -> ReportAnswer:
        body = self._client.post(self._path, report_to_wire(report), timeout_s=TIMEOUT_S)
        try:
            return answer_from_wire(cast("dict[str, object]", body))
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceUnavailable(f"the service's answer to a report makes no sense: {error!r}") from error

    def close(self) -> None:
        self._client.close()
