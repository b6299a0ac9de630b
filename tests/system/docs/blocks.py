"""Reads the documents: fenced blocks, and the commands in them and in running text."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from tests.repository import ROOT

DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for folder, pattern in (("", "*.md"), ("docs", "**/*.md"), ("examples", "**/*.md"), ("helm", "**/*.md"))
    for path in (ROOT / folder).glob(pattern)
    if path.name != "CHANGELOG.md"
)

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
_EXAMPLE = re.compile(r"<!-- example: (?P<name>[\w-]+) -->\s*\Z")
_PROGRAMS = r"clocksvc|kafka-[\w-]+\.sh|redis-cli|curl|docker|helm|kubectl|celery|pip|python|openssl|date|chronyc|make"
_INLINE = re.compile(rf"`((?:{_PROGRAMS}) [^`\n]+)`")
_FILE = re.compile(r"(?:#|//) (?P<name>[\w.-]+\.(?:py|ya?ml|java|js|crontab))\b")


class Block(NamedTuple):
    """A fenced block.

    `name` comes from a comment `<!-- example: name -->` before the block, else from a file name in its first line, else
    it is the first line.
    """

    document: str
    language: str
    name: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block is the content of, if its first line names one."""
        found = _FILE.match(self.text)
        return None if found is None else found["name"]


class Command(NamedTuple):
    """A command, and the output that the document shows below it."""

    document: str
    text: str
    shown: str


def text_of(document: str) -> str:
    """The text of a page."""
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str | None = None) -> list[Block]:
    """Every fenced block of a document, in order, or those in one language."""
    page = text_of(document)
    found = []
    for match in _FENCE.finditer(page):
        text = textwrap.dedent(match["text"])
        called = _EXAMPLE.search(page[: match.start()]) or _FILE.match(text)
        name = called["name"] if called else text.split("\n", 1)[0].strip()
        found.append(Block(document, match["language"], name, text))
    return found if language is None else [block for block in found if block.language == language]


def commands(document: str) -> list[Command]:
    """Every command of a document: those in blocks, in order, then those in running text."""
    typed = [command for block in blocks(document) for command in commands_in(block)]
    page = _FENCE.sub("", text_of(document))
    return typed + [Command(document, text, "") for text in dict.fromkeys(_INLINE.findall(page))]


def commands_in(block: Block) -> Iterator[Command]:
    """The commands of a block: after `$ ` in `console`, each line in `sh`; none in other languages."""
    if block.language not in ("console", "sh"):
        return
    lines = block.text.splitlines()
    while lines:
        line = lines.pop(0)
        if block.language == "console" and not line.startswith("$ "):
            continue
        typed = line.removeprefix("$ ")
        while lines and _goes_on(typed):
            typed += f"\n{lines.pop(0)}"
        shown: list[str] = []
        while block.language == "console" and lines and not lines[0].startswith("$ "):
            shown.append(lines.pop(0))
        if typed.strip() and not typed.startswith("#"):
            yield Command(block.document, re.sub(r"\s+# .*", "", typed), "\n".join(shown))


def _goes_on(typed: str) -> bool:
    try:
        shlex.split(typed, comments=True)
    except ValueError:  # within quotes
        return True
    return typed.endswith("\\")
