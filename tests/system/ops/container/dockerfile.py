"""Parses a Dockerfile into instructions, and tells whether .dockerignore excludes a path."""

import fnmatch
import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name in capitals, its flags without dashes, and the rest of the line."""

    name: str
    flags: dict[str, str]
    rest: str

    @property
    def words(self) -> list[str]:
        """The rest as words; in exec form those of the JSON list."""
        return list(self.exec_form) if self.exec_form is not None else self.rest.split()

    @property
    def exec_form(self) -> list[str] | None:
        """The words of `["a", "b"]`; None for the shell form."""
        return [str(word) for word in json.loads(self.rest)] if self.rest.startswith("[") else None


def instructions(dockerfile: Path) -> list[Instruction]:
    """All instructions, in order, without comments, with continued lines joined."""
    text = "\n".join(line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#"))
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [_instruction(line) for line in lines if line.strip()]


def pairs(text: str) -> dict[str, str]:
    """`A=b C="d e"`, as in ENV, LABEL and ARG; `A` alone is empty."""
    found = re.findall(r'([^\s=]+)(?:=("[^"]*"|\S*))?', text)
    return {name: value.strip('"') for name, value in found}


def sent(ignore: Path, path: str) -> bool:
    """Whether a path of the context is sent: the last line of .dockerignore that matches it or a parent counts."""
    parts = path.split("/")
    ways = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    past = True
    for line in ignore.read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.removeprefix("!")
        anywhere = wanted.removeprefix("**/")
        if any(fnmatch.fnmatchcase(way, wanted) or (anywhere != wanted and way.endswith(anywhere)) for way in ways):
            past = pattern.startswith("!")
    return past


def _instruction(line: str) -> Instruction:
    name, _, rest = line.strip().partition(" ")
    flags = {}
    while match := re.match(r"\s*--([a-z-]+)=(\S+)\s*", rest):
        flags[match[1]] = match[2]
        rest = rest[match.end() :]
    return Instruction(name.upper(), flags, rest.strip())
