"""Turns the exceptions of clocksvc, of FastAPI's validation and of Starlette into problem details."""

import logging
import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from clocksvc.api import problems
from clocksvc.api.problems import Problem
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ClocksvcError, CursorTooOld, InvalidValue, Rebuilding, StoreMismatch, Unavailable

logger = logging.getLogger("clocksvc.api")

_PARAMETER = re.compile(r"\{\w+\}")


def add_exception_handlers(app: FastAPI) -> None:
    """Answer every exception of this app's routes with problem details."""
    app.add_exception_handler(Problem, _respond)
    app.add_exception_handler(ClocksvcError, _respond)
    app.add_exception_handler(RequestValidationError, _respond)
    app.add_exception_handler(HTTPException, _respond)
    app.add_exception_handler(Exception, _respond_unexpected)


async def _respond(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors()[: problems.MAX_ERRORS + 1]).response()
    if isinstance(error, HTTPException):
        return _http(request, error)
    assert isinstance(error, ClocksvcError)
    return _clocksvc_problem(error).response()


async def _respond_unexpected(request: Request, error: Exception) -> Response:
    logger.error("request failed", exc_info=error, extra={"path": request.url.path, "method": request.method})
    return Problem(problems.INTERNAL).response()


def _clocksvc_problem(error: ClocksvcError) -> Problem:
    if isinstance(error, InvalidValue):
        return problems.invalid(error.field, error.value, error.wanted)
    if isinstance(error, CursorTooOld):
        return _cursor_too_old(error)
    if isinstance(error, Rebuilding):
        return Problem(problems.REBUILDING, str(error))
    if isinstance(error, StoreMismatch):
        return Problem(problems.STORE_MISMATCH, str(error))
    if isinstance(error, Unavailable):
        return Problem(problems.STORE_UNAVAILABLE, str(error))
    logger.error("request failed", exc_info=error)
    return Problem(problems.INTERNAL)


def _cursor_too_old(error: CursorTooOld) -> Problem:
    cursor, oldest = to_rfc3339(error.cursor_ms), to_rfc3339(error.oldest_ms)
    previous_ms = error.oldest_previous_ms
    members = {
        "cursor": cursor,
        "cursor_seconds": error.cursor_ms // 1000,
        "oldest": {
            "time": oldest,
            "timestamp_seconds": error.oldest_ms // 1000,
            "previous": None if previous_ms is None else to_rfc3339(previous_ms),
        },
    }
    return Problem(problems.CURSOR_TOO_OLD, str(error), members)


def _invalid(errors: Sequence[Any]) -> Problem:
    return problems.invalids(
        [{"field": _field(error), "value": _value(error), "wanted": _wanted(error)} for error in errors]
    )


def _field(error: Any) -> str:
    _, *inside = error["loc"]
    return "body" if error["type"] == "json_invalid" or not inside else ".".join(str(part) for part in inside)


def _value(error: Any) -> Any:
    return None if error["type"] == "json_invalid" else problems.truncated(error.get("input"))


def _wanted(error: Any) -> str:
    if error["type"] == "json_invalid":
        return f"wanted JSON: {error['ctx']['error']} at character {error['loc'][1]}"
    return str(error["msg"])


def _allowed_methods(request: Request, default: str) -> str:
    """Return the methods that the request's path allows.

    Starlette's error has only the methods of one route, but a path may have several routes.
    """
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    here = (methods for path, methods in paths.items() if re.fullmatch(_PARAMETER.sub("[^/]+", path), request.url.path))
    return ", ".join(sorted(method.upper() for method in next(here, {}))) or default


def _http(request: Request, error: HTTPException) -> Response:
    if error.status_code == 400:
        # FastAPI raises 400 for a body that its JSON parser can't decode.
        return problems.invalid("body", None, "wanted JSON in UTF-8").response()
    if error.status_code == 404:
        detail = f"there is nothing at {problems.truncated(request.url.path)}; see /docs for the API"
        return Problem(problems.NOT_FOUND, detail).response()
    if error.status_code == 405:
        allowed = _allowed_methods(request, (error.headers or {}).get("Allow", "")).replace("GET", "GET, HEAD")
        return Problem(problems.METHOD_NOT_ALLOWED, f"wanted {allowed}", headers={"Allow": allowed}).response()
    if error.status_code == 413:
        return Problem(problems.BODY_TOO_LARGE).response()
    return Problem(problems.OTHER, error.detail).response(error.status_code)
