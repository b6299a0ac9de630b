"""The list of clocks of `clocksvc status`: options, pages, and the number of clocks by status."""

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clocksvc.cli.console import print_json_line
from clocksvc.client.http import ServiceClient
from clocksvc.clock.holds import Status

WORST = 20
"""The number of clocks that are shown without `--all`."""
PAGE_SIZE = 500
"""The number of clocks in one request with `--all` or `--json`."""
_ORDER = (
    Status.HOLDING,
    Status.CATCHING_UP,
    Status.PAUSED,
    Status.REBUILDING,
    Status.STARTING,
    Status.RUNNING,
)


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that select clocks of the list."""
    parser.add_argument(
        "--status",
        metavar="STATUS",
        help=f"list only clocks with one of these statuses, separated by commas: {', '.join(_ORDER)}",
    )
    parser.add_argument(
        "--search", metavar="TEXT", help="list only clocks whose name, group or one of whose topics contains this text"
    )
    parser.add_argument("--all", action="store_true", help=f"list all clocks, not only the {WORST} worst ones")


def clock_pages(client: ServiceClient, args: argparse.Namespace, order: str, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the pages of the service that `args` selects. Each one is requested when it is needed; blocks for seconds.

    Raises:
        RequestRejected, ServiceUnavailable: depending on the answer of the service.
        LookupError, TypeError: the server is not clocksvc.
    """
    after = None
    while True:
        selected = {"status": args.status, "search": args.search, "order": order, "limit": limit, "after": after}
        page = client.get("/v1/clocks", selected).body
        yield page
        after = page["next"]
        if after is None:
            return


def print_pages(pages: Iterable[Mapping[str, Any]]) -> None:
    """Print all pages as one page, in one line of JSON. Each clock is printed when its page has been received."""
    begin, counts = '{"clocks":[', {}
    for page in pages:
        counts = page["counts"]
        for clock in page["clocks"]:
            print_json_line(begin + json.dumps(clock, separators=(",", ":"), ensure_ascii=False), end="")
            begin = ","
    begin = begin.rstrip(",")
    print_json_line(f'{begin}],"next":null,"counts":{json.dumps(counts, separators=(",", ":"))}}}')


def nothing_found(args: argparse.Namespace) -> str:
    """Return that the service has no clock that `args` selects."""
    found = [] if args.search is None else [f"--search {args.search}"]
    if args.status is not None:
        found.append(f"--status {args.status}")
    return f"no clock matches {' '.join(found)}" if found else "the service has no clock that this token may see"


def matching(counts: Mapping[str, int], statuses: str | None) -> int:
    """Return how many clocks have one of these statuses, separated by commas; None for all."""
    return sum(counts.values()) if statuses is None else sum(counts.get(one, 0) for one in statuses.split(","))


def summary(counts: Mapping[str, int]) -> str:
    """Return the number of clocks by status as text, such as `2,000 clocks: 3 holding, 1,997 running`."""
    order = [*_ORDER, *(status for status in counts if status not in _ORDER)]
    parts = [f"{counts[status]:,} {status}" for status in order if counts.get(status)]
    return f"{sum(counts.values()):,} clocks" + (f": {', '.join(parts)}" if parts else "")
