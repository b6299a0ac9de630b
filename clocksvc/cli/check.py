"""`clocksvc check`: prints the findings. What is looked at, says `clocksvc.check`."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clocksvc.cli.arguments import add_config, add_json, config_file, load_settings
from clocksvc.errors import SettingsError

if TYPE_CHECKING:
    from clocksvc.check.finding import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which configuration, how to print."""
    parser.description = (
        "Find what is wrong with configuration, Redis, Kafka, topics, consumer groups and tick logs, and what to do. "
        "It leaves nothing behind. Exit code 0 without problems (warnings are none), 1 with."
    )
    add_config(parser)
    add_json(parser, "the findings")


def run(args: argparse.Namespace) -> int:
    """Print every finding; 1 where there is a problem."""
    from clocksvc.check.finding import Level, ok, worst
    from clocksvc.check.run import run as check
    from clocksvc.interfaces.time import SystemTime
    from clocksvc.kafka.settings_check import check_settings

    findings: list[Finding]
    try:
        settings = load_settings(args)
        check_settings(settings.kafka_settings())
    except SettingsError as error:
        findings = _refused(error.problems, config_file(args))
    else:
        clocks = ", ".join(settings.clocks)
        findings = [ok("configuration", f"valid; clocks: {clocks}"), *check(settings, SystemTime())]
    print(_as_json(findings) if args.json else _as_text(findings))
    return 1 if worst(findings) is Level.PROBLEM else 0


def _refused(problems: Sequence[str], file: str | None) -> "list[Finding]":
    """A finding for each problem; what to do stands with the last."""
    from clocksvc.check.finding import problem

    texts = problems if file is None else [f"{file}: {text}" for text in problems]
    unnamed = " (a file is named by --config or CLOCKSVC_CONFIG: neither is set)" if file is None else ""
    to_do = f"correct it{unnamed}; nothing else was looked at"
    *others, last = texts
    return [*(problem("configuration", text, "") for text in others), problem("configuration", last, to_do)]


def _as_json(findings: "list[Finding]") -> str:
    return json.dumps({"findings": [finding.to_wire() for finding in findings]}, indent=2)


def _as_text(findings: "list[Finding]") -> str:
    lines = []
    for finding in findings:
        clock = f" ({finding.clock})" if finding.clock else ""
        lines.append(f"{finding.level.value:<8} {finding.part}{clock}: {finding.text}")
        if finding.to_do:
            lines.append(f"{'':<8} → {finding.to_do}")
    counts = [sum(finding.level == level for finding in findings) for level in ("problem", "warning")]
    lines.append("{} problem{}, {} warning{}".format(*(part for n in counts for part in (n, "" if n == 1 else "s"))))
    return "\n".join(lines)
