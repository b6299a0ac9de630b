"""`/`: the status page, whole in this package: no build step, and nothing comes from another host.

It shows what the API answers; nothing is put into it here.
"""

import gzip
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

_MEDIA_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "md": "text/plain",
    "svg": "image/svg+xml",
}
_ASSETS = files("clocksvc.api") / "status"
_POLICY = {
    # No script and no style but the page's own files: a name that a producer chose can't become either.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
}


@cache
def _read(name: str) -> tuple[bytes, bytes]:
    """A file as it is, and packed: by phone a third of the bytes is a third of the wait."""
    content = (_ASSETS / name).read_bytes()
    return content, gzip.compress(content, mtime=0)


def _answer(request: Request, name: str) -> Response:
    content, packed = _read(name)
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    if "gzip" not in [one.strip() for one in request.headers.get("accept-encoding", "").split(",")]:
        return Response(content, headers=_POLICY, media_type=media_type)
    return Response(packed, headers=_POLICY | {"Content-Encoding": "gzip"}, media_type=media_type)


@router.get("/")
async def page(request: Request) -> Response:
    """The page. Its addresses are relative, so that it works behind a path prefix."""
    return _answer(request, "index.html")


def _serve(name: str) -> None:
    async def asset(request: Request) -> Response:
        return _answer(request, name)

    router.add_api_route(f"/status/{name}", asset, name=name)


for _asset in sorted(one.name for one in _ASSETS.iterdir() if one.is_file() and one.name != "index.html"):
    _serve(_asset)
