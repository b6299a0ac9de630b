"""`clocksvc check`: prints the findings of `clocksvc.check`."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clocksvc.cli.console import add_config, add_json, config_file, load_settings, print_json, show
from clocksvc.errors import SettingsError

if TYPE_CHECKING:
    from clocksvc.check.finding import Finding


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
    try:
        settings = load_settings(args)
    except SettingsError as error:
        findings = _settings_problems(error.problems, config_file(args))
    else:
        clocks = ", ".join(settings.clocks)
        findings = [ok("configuration", f"valid; clocks: {clocks}"), *check(settings, SystemTime())]
    if args.json:
        print_json({"findings": [finding.to_wire() for finding in findings]}, indent=2)
    else:
        show(*_as_text(findings))
    return 1 if worst(findings) is Level.PROBLEM else 0


def _settings_problems(problems: Sequence[str], file: str | None) -> "list[Finding]":
    """Return a finding for each problem. Only the last finding contains what to do."""
    from clocksvc.check.finding import problem

    texts = problems if file is None else [f"{file}: {text}" for text in problems]
    unnamed = " (no file: neither --config nor CLOCKSVC_CONFIG is set)" if file is None else ""
    to_do = f"correct the configuration{unnamed}; nothing else was checked"
    *others, last = texts
    return [*(problem("configuration", text, "") for text in others), problem("configuration", last, to_do)]


def _as_text(findings: "list[Finding]") -> list[str]:
    lines = []
    for finding in findings:
        clock = f" ({finding.clock})" if finding.clock and finding.part != f"clock {finding.clock}" else ""
        lines.append(f"{finding.level.value:<8} {finding.part}{clock}: {finding.text}")
        if finding.to_do:
            lines.append(f"{'':<8} → {finding.to_do}")
    counts = [sum(finding.level == level for finding in findings) for level in ("problem", "warning")]
    lines.append("{} problem{}, {} warning{}".format(*(part for n in counts for part in (n, "" if n == 1 else "s"))))
    return lines
