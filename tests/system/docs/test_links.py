"""Every link has a target, every picture has colours for both themes, and every page is in the index."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.repository import ROOT
from tests.system.docs.blocks import DOCUMENTS, text_of
from tests.system.docs.links import anchors, links

pytestmark = pytest.mark.core

PAGES = [*DOCUMENTS, "CHANGELOG.md"]
PICTURES = sorted((ROOT / "docs").rglob("*.svg"))
OURS = re.compile(r"https?://(localhost|127\.0\.0\.1)[:/]")
FOREIGN = {
    "https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md",
    "https://github.com/getsentry/sentry/pull/85356",
}
"""External addresses that a page may link to. They are not requested."""


def target(page: str, link: str) -> tuple[Path, str]:
    """The file and the anchor of a link."""
    path, _, anchor = link.partition("#")
    return ((ROOT / page).parent / path).resolve() if path else ROOT / page, anchor


@pytest.mark.parametrize("page", PAGES)
def test_every_link_has_a_target(page: str) -> None:
    """A file of this repository, and a heading in it."""
    wrong = []
    for link in links(text_of(page)):
        if "://" in link:
            wrong += [] if link in FOREIGN or OURS.match(link) else [link]
            continue
        file, anchor = target(page, link)
        here = file.is_relative_to(ROOT) and file.exists()
        if not here or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            wrong.append(link)

    assert wrong == []


def test_every_page_is_in_the_index() -> None:
    """docs/README.md names each page, and the README the index."""
    listed = {target("docs/README.md", link)[0] for link in links(text_of("docs/README.md"))}
    pages = {ROOT / page for page in DOCUMENTS if page.startswith("docs/")} - {ROOT / "docs" / "README.md"}

    assert sorted(str(page) for page in pages - listed) == []
    assert ROOT / "docs" / "README.md" in {target("README.md", link)[0] for link in links(text_of("README.md"))}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_accessible(picture: Path) -> None:
    """A title and a description, colours for light and dark, nothing external, and a page that shows it."""
    text = picture.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    name = "{http://www.w3.org/2000/svg}"
    style = root.findtext(f"{name}style") or ""

    assert root.findtext(f"{name}title")
    assert root.findtext(f"{name}desc")
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    assert _coloured(light) == _coloured(dark)
    assert re.findall(r"(?:href|src|url)\W+(?!http://www\.w3)\S*//", text) == []
    assert any(f"pictures/{picture.name}" in text_of(page) for page in DOCUMENTS)


def _coloured(style: str) -> set[str]:
    """The selectors with a colour in a part of a style sheet."""
    return {name for name, rules in re.findall(r"([\w.]+) \{([^{}]*)\}", style) if "#" in rules}
