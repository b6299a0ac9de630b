"""`clocksvc check`: prints the findings of `clocksvc.check`."""

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from clocksvc.cli.console import add_config, add_json, config_file, load_settings, print_json, show
from clocksvc.clock.partition import MAX_NAMED, name_first
from clocksvc.errors import SettingsError

if TYPE_CHECKING:
    from clocksvc.check.finding import Finding
    from clocksvc.clock.spec import ClockSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the configuration file and the output format."""
    parser.description = (
        "Check configuration, Redis, Kafka, topics, consumer groups and the tick log. Print what is wrong and what to "
        "do about it. Changes nothing. Exit code 0: no problems (there may be warnings). 1: problems."
    )
    add_config(parser)
    add_json(parser, "the findings")


def run(args: argparse.Namespace) -> int:
    """Print every finding, and return the exit code: 1 if there is a problem."""
    from clocksvc.check.finding import Level, ok, worst
    from clocksvc.check.run import run as check
    from clocksvc.interfaces.time import SystemTime

    findings: list[Finding]
    specs: Mapping[str, ClockSpec] = {}
    try:
        settings = load_settings(args)
    except SettingsError as error:
        findings = _settings_problems(error.problems, config_file(args))
    else:
        specs = settings.clock_specs()
        count = f"{len(settings.clocks):,} clocks: " if len(settings.clocks) > MAX_NAMED else "clocks: "
        valid = f"valid; {count}{name_first(list(settings.clocks))}"
        findings = [ok("configuration", valid), *check(settings, SystemTime())]
    if args.json:
        print_json({"findings": [finding.to_wire() for finding in findings]}, indent=2)
    else:
        show(*_as_text(findings, specs))
    return 1 if worst(findings) is Level.PROBLEM else 0


def _settings_problems(problems: Sequence[str], file: str | None) -> "list[Finding]":
    """Return a finding for each problem. Only the last finding contains what to do."""
    from clocksvc.check.finding import problem

    texts = problems if file is None else [f"{file}: {text}" for text in problems]
    unnamed = " (no file: neither --config nor CLOCKSVC_CONFIG is set)" if file is None else ""
    to_do = f"correct the configuration{unnamed}; nothing else was checked"
    *others, last = texts
    return [*(problem("configuration", text, "") for text in others), problem("configuration", last, to_do)]


def _as_text(findings: "list[Finding]", specs: "Mapping[str, ClockSpec]") -> list[str]:
    """Return a line for each finding, and one with what to do. Similar findings about many clocks are one line."""
    from clocksvc.check.grouping import group

    lines, grouped = [], False
    for one in group(findings, specs):
        lines.append(f"{one.level.value:<8} {one.about}: {one.text}")
        grouped |= one.count > 1
        if one.to_do:
            lines.append(f"{'':<8} → {one.to_do}")
    counts = [sum(finding.level == level for finding in findings) for level in ("problem", "warning")]
    total = "{} problem{}, {} warning{}".format(*(part for n in counts for part in (f"{n:,}", "" if n == 1 else "s")))
    lines.append(total + ("; --json lists each finding" if grouped else ""))
    return lines
