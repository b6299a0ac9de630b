"""The web pages: the status page at `/` and the OpenAPI page at `/docs`. This service serves all their files itself."""

import gzip
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
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
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self' {script}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI has inline styles, and images in its style sheet. Of inline scripts, only the page's own one may run."""
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_SWAGGER_FILES = Path(str(files("fastapi_offline"))) / "static"
_SWAGGER_HEADERS = {"Cache-Control": "public, max-age=86400"}


@router.get("/")
async def status_page(request: Request) -> Response:
    """The status page. Its URLs are relative, so that it works behind a path prefix."""
    return _status_file(request, "index.html")


@router.get("/docs")
async def docs() -> Response:
    """The OpenAPI as a page. Its URLs are relative, so that it works behind a path prefix."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="clocksvc",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="data:,",
    )
    scripts = [sha256(script).digest() for script in _INLINE_SCRIPT.findall(page.body)]
    hashes = " ".join(f"'sha256-{b64encode(script).decode()}'" for script in scripts)
    page.headers["Content-Security-Policy"] = _DOCS_POLICY.format(script=hashes)
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


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
