"""`/docs`: the OpenAPI as a page, with its own copy of what it loads: nothing comes from another host."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, Response

router = APIRouter(include_in_schema=False)

_ASSETS = Path(str(files("fastapi_offline"))) / "static"
_CACHED = {"Cache-Control": "public, max-age=86400"}


@router.get("/docs")
async def docs() -> Response:
    """Addresses are relative, so that it works behind a path prefix."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="clocksvc",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="data:,",
    )


@router.get("/docs/swagger-ui-bundle.js")
async def script() -> Response:
    """The page's script."""
    return FileResponse(_ASSETS / "swagger-ui-bundle.js", headers=_CACHED)


@router.get("/docs/swagger-ui.css")
async def style() -> Response:
    """The page's style."""
    return FileResponse(_ASSETS / "swagger-ui.css", headers=_CACHED)
