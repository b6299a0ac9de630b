"""One question to the service's `/wait`: has a clock reached a time? Both the Python call and the command line ask it.

It believes nothing but a tick of that clock at that time or later: a job starts on this answer. It asks once.
"""

import json
from collections.abc import Mapping
from typing import Any

from clocksvc.client.http import (
    Params,
    ServiceClient,
    ServiceResponse,
)
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import Refused, ServiceUnavailable

GRACE_S = 10.0
"""How much longer than the service was asked to wait its answer may take."""

_NOT_REACHED = "clock-not-reached"
_SHOWN = 200
"""So many characters of a wrong answer are named."""


def request_wait(client: ServiceClient, clock: str, until_ms: int, timeout_s: float) -> ServiceResponse:
    """The service's answer after `timeout_s` at the latest: 200 with the tick, or 409 with state and holders.

    Raises:
        ServiceUnavailable: no answer, or one that is not the service's, such as a proxy's page with status 200.
        UnknownClock, Refused: as the service says.
    """
    path, until = f"/v1/clocks/{clock}/wait", to_rfc3339(until_ms)
    params: Params = {"until": until, "timeout": round(timeout_s, 3)}
    answer = client.get(path, params, timeout_s=timeout_s + GRACE_S, accept=(409,))
    if answer.status == 409:
        if not str(answer.body.get("type")).endswith(_NOT_REACHED):
            raise Refused(f"{path}: {answer.body.get('detail', 'status 409')}")
    elif not _is_reached(answer.body, clock, until_ms):
        raise ServiceUnavailable(
            f"{path}: what answers there is no clocksvc: wanted a tick of clock {clock!r} at {until} or later, "
            f"status {answer.status} came with {_shown(answer.body)}"
        )
    return answer


def _is_reached(body: Mapping[str, Any], clock: str, until_ms: int) -> bool:
    try:
        tick = Tick.from_wire(body)
    except (KeyError, TypeError, ValueError):
        return False
    return tick.clock == clock and tick.at_ms >= until_ms


def _shown(body: Mapping[str, Any]) -> str:
    text = json.dumps(body) if body else "no JSON object"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
