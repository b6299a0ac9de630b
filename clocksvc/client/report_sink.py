"""The sinks to which a Reporter sends its reports: the store, or the HTTP service."""

from typing import cast

from clocksvc.client.http import ServiceClient
from clocksvc.errors import InvalidValue, ServiceUnavailable
from clocksvc.interfaces.progress import Report, ReportAnswer, ReportSink
from clocksvc.interfaces.report_encoding import answer_from_wire, report_to_wire
from clocksvc.redaction import without_password

TIMEOUT_S = 10.0
_WANTED_URL = "wanted redis://…, rediss://…, http://… or https://…"
SAME_SETTINGS_HINT = "check that the service is running, and that it uses the same URL, database, prefix and clock name"


class HttpReportSink:
    """Posts reports to the HTTP service. Each call blocks for up to 10 s."""

    def __init__(self, client: ServiceClient, clock: str) -> None:
        self._client = client
        self._path = f"/v1/clocks/{clock}/reports"

    def report(self, report: Report) -> ReportAnswer:
        body = self._client.post(self._path, report_to_wire(report), timeout_s=TIMEOUT_S)
        try:
            return answer_from_wire(cast("dict[str, object]", body))
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceUnavailable(f"the service's answer to a report is not valid: {error!r}") from error

    def close(self) -> None:
        self._client.close()


def open_report_sink(url: str, clock: str, token: str | None) -> tuple[ReportSink, str]:
    """Return the sink for a URL, and a text for the log.

    The text contains the address, and what to check if the clock is unknown there. The sink does not connect before the
    first report.

    Raises:
        InvalidValue: the URL or the token is not valid.
    """
    if not isinstance(url, str):
        raise InvalidValue("url", url, _WANTED_URL)
    shown = without_password(url)
    if url.startswith(("http://", "https://")):
        hint = "check with `clocksvc status` that it has had a leader"
        return HttpReportSink(ServiceClient(url, token), clock), f"{shown}: {hint}"
    if "://" not in url:
        raise InvalidValue("url", url, _WANTED_URL)
    if token is not None:
        raise InvalidValue("token", "***", "wanted None, because a token is used only with http:// and https://")
    from clocksvc.redis.store import open_redis_store  # imported here: reports over HTTP must work without redis-py

    store = open_redis_store(url, clock)
    return store, f"{shown} (prefix {store.prefix}): {SAME_SETTINGS_HINT}"
