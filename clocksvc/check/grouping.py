"""Groups similar findings, so that people get one line for the same finding about 2,000 clocks."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from clocksvc.check.finding import Finding, Level
from clocksvc.clock.partition import MAX_NAMED, name_first
from clocksvc.clock.spec import ClockSpec

_NUMBER = re.compile(r"\d[\d.,:TZ-]*")


@dataclass(frozen=True, slots=True)
class Group:
    """Findings that differ only in names and numbers.

    Attributes:
        about: what was tested, such as `redis`, `topic ingest (checkins)` or `2,000 topics (a, b, c, d, e and 1995
            more), each`.
        text, to_do: as in Finding. Names that differ are placeholders, such as `CLOCK`.
        count: the number of findings.
    """

    level: Level
    about: str
    text: str
    to_do: str
    count: int


def group(findings: Iterable[Finding], specs: Mapping[str, ClockSpec]) -> Iterator[Group]:
    """Yield the groups in the order of their first findings. A group has one finding, or more than `MAX_NAMED`.

    Args:
        specs: the clocks by name. The names of their topics and groups may differ within a group.
    """
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        spec = specs.get(finding.clock)
        kind, _ = _kind_and_name(finding)
        # A finding that is not about one clock is never grouped.
        key = (finding.part, finding.text, finding.to_do) if spec is None else (kind, *_comparable(finding, spec))
        groups.setdefault((finding.level, *key), []).append(finding)
    for members in groups.values():
        if len(members) > MAX_NAMED and members[0].clock in specs:
            yield _group(members, specs)
        else:
            yield from (_single(finding) for finding in members)


def _single(finding: Finding) -> Group:
    clock = f" ({finding.clock})" if finding.clock and finding.part != f"clock {finding.clock}" else ""
    return Group(finding.level, finding.part + clock, finding.text, finding.to_do, 1)


def _group(members: list[Finding], specs: Mapping[str, ClockSpec]) -> Group:
    first, spec = members[0], specs[members[0].clock]
    texts = {_with_placeholders(one, one.text, specs[one.clock]) for one in members}
    text = first.text
    if len(texts) > 1:
        text = f"{first.text} (the first of them; numbers differ)"
    elif len({one.text for one in members}) > 1:
        (text,) = texts
    same_to_do = len({one.to_do for one in members}) == 1
    to_do = first.to_do if same_to_do else _with_placeholders(first, first.to_do, spec)
    return Group(first.level, _about(members), text, to_do, len(members))


def _about(members: list[Finding]) -> str:
    kind, _ = _kind_and_name(members[0])
    if len({one.part for one in members}) == 1:
        return f"{members[0].part} ({len(members):,} clocks: {name_first([one.clock for one in members])})"
    names = list(dict.fromkeys(_kind_and_name(one)[1] for one in members))
    return f"{len(names):,} {kind}s ({name_first(names)}), each"


def _comparable(finding: Finding, spec: ClockSpec) -> tuple[str, str]:
    """Return text and advice without names, and the text without numbers. Numbers in the advice are what to set."""
    text = _NUMBER.sub("0", _with_placeholders(finding, finding.text, spec))
    return text, _with_placeholders(finding, finding.to_do, spec)


def _with_placeholders(finding: Finding, text: str, spec: ClockSpec) -> str:
    kind, name = _kind_and_name(finding)
    placeholders = {name: kind.upper()}
    for word, placeholder in (
        *((topic, "TOPIC") for topic in spec.topics),
        (spec.group, "GROUP"),
        (spec.name, "CLOCK"),
    ):
        placeholders.setdefault(word, placeholder)
    words = "|".join(re.escape(word) for word in sorted(placeholders, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{words})(?![\w-])", lambda found: placeholders[found[0]], text)


def _kind_and_name(finding: Finding) -> tuple[str, str]:
    """Return both halves of the part: `topic` and `ingest` of `topic ingest`."""
    kind, _, name = finding.part.rpartition(" ")
    return kind, name
