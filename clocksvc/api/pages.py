"""The web pages: the status page at `/` and the OpenAPI page at `/docs`. This service serves all their files itself."""

import gzip
from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, Response

router = APIRouter(include_in_schema=False)

_MEDIA_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "md": "text/plain",
    "svg": "image/svg+xml",
}
_STATUS_FILES = files("clocksvc.api") / "status"
_STATUS_HEADERS = {
    # Only the page's own scripts and styles may run. A producer may choose a topic's name; it must not inject a script.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
}
_SWAGGER_FILES = Path(str(files("fastapi_offline"))) / "static"
_SWAGGER_HEADERS = {"Cache-Control": "public, max-age=86400"}


@router.get("/")
async def status_page(request: Request) -> Response:
    """The status page. Its URLs are relative, so that it works behind a path prefix."""
    return _status_file(request, "index.html")


@router.get("/docs")
async def docs() -> Response:
    """The OpenAPI as a page. Its URLs are relative, so that it works behind a path prefix."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="clocksvc",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="data:,",
    )


@router.get("/docs/swagger-ui-bundle.js")
async def docs_script() -> Response:
    """The script of `/docs`."""
    return FileResponse(_SWAGGER_FILES / "swagger-ui-bundle.js", headers=_SWAGGER_HEADERS)


@router.get("/docs/swagger-ui.css")
async def docs_style() -> Response:
    """The style of `/docs`."""
    return FileResponse(_SWAGGER_FILES / "swagger-ui.css", headers=_SWAGGER_HEADERS)


@cache
def _read(name: str) -> tuple[bytes, bytes]:
    """Return a file of the status page, uncompressed and compressed."""
    content = (_STATUS_FILES / name).read_bytes()
    return content, gzip.compress(content, mtime=0)


def _status_file(request: Request, name: str) -> Response:
    content, compressed = _read(name)
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    if "gzip" not in [one.strip() for one in request.headers.get("accept-encoding", "").split(",")]:
        return Response(content, headers=_STATUS_HEADERS, media_type=media_type)
    return Response(compressed, headers=_STATUS_HEADERS | {"Content-Encoding": "gzip"}, media_type=media_type)


def _add_status_route(name: str) -> None:
    async def status_file(request: Request) -> Response:
        return _status_file(request, name)

    router.add_api_route(f"/status/{name}", status_file, name=name)


for _file in sorted(one.name for one in _STATUS_FILES.iterdir() if one.is_file() and one.name != "index.html"):
    _add_status_route(_file)
