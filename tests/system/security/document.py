"""Reads docs/security.md as an administrator does: the commands in its blocks, under their headings."""

import itertools
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from tests.repository import ROOT

DOCUMENT = ROOT / "docs" / "security.md"

_RESOURCES = {"--topic": "TOPIC", "--group": "GROUP", "--transactional-id": "TRANSACTIONAL_ID"}


class KafkaAcl(NamedTuple):
    """One operation that one principal is allowed; `operation`, `kind` and `pattern` as Kafka's clients name them."""

    principal: str
    operation: str
    kind: str
    name: str
    pattern: str = "LITERAL"

    def __str__(self) -> str:
        return f"{self.principal.removeprefix('User:')}: {self.operation} on {self.kind} {self.name}".lower()


def kafka_acls(heading: str) -> list[KafkaAcl]:
    """Every single permission of the `kafka-acls` commands under a heading."""
    return [acl for words in _commands(heading, "kafka-acls") for acl in _read_acl(words)]


def redis_user(heading: str) -> tuple[str, list[str]]:
    """Name and rules of the one `ACL SETUSER` under a heading."""
    ((_, _, name, *rules),) = _commands(heading, "ACL")
    return name, rules


def _read_acl(words: list[str]) -> Iterator[KafkaAcl]:
    options = list(itertools.pairwise(words))
    (principal,) = (value for name, value in options if name == "--allow-principal")
    ((kind, resource),) = ((_RESOURCES[name], value) for name, value in options if name in _RESOURCES)
    pattern = dict(options).get("--resource-pattern-type", "literal").upper()
    for name, value in options:
        if name == "--operation":
            yield KafkaAcl(principal, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", value).upper(), kind, resource, pattern)


def _commands(heading: str, program: str) -> list[list[str]]:
    _, found, rest = DOCUMENT.read_text(encoding="utf-8").partition(f"\n### {heading}\n")
    assert found, f"docs/security.md has no heading {heading!r}"
    section = re.split(r"\n##", rest)[0]
    blocks = re.findall(r"```\w*\n(.*?)```", section, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [one for one in words if one and one[0] == program]
