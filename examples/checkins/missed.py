"""Follows the clock, and marks missed check-ins at each tick: `python missed.py`. Run one process."""

import os
from datetime import UTC, datetime

from checkins import opened

from clocksvc import ticks

URL = os.environ.get("CLOCKSVC_URL", "http://localhost:8080")


def main() -> None:
    """Handle all ticks after the last handled one, in order, until Ctrl-C."""
    database = opened()
    shown = len(database.missed())
    for tick in ticks(URL, "monitors", after=database.position()):
        database.mark_missed(tick.at_ms // 1000)
        found = database.missed()
        for slug, period_s in found[shown:]:
            print(f"missed {datetime.fromtimestamp(period_s, UTC):%Y-%m-%dT%H:%M:%SZ} {slug}", flush=True)
        shown = len(found)


if __name__ == "__main__":
    main()
