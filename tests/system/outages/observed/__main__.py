"""`make observed-outages`: clocks from the committed offsets of groups in Python and Java, without and with faults."""

import argparse
import shutil
import tempfile
from pathlib import Path

from tests.system.outages.observed.run import run
from tests.system.outages.observed.setup import started


def main() -> int:
    """Run it. Returns 1 if something was wrong; the folder with all logs is kept then."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="clocksvc-observed-"))
    print(f"logs in {folder}", flush=True)
    with started(folder) as setup:
        print("started", flush=True)
        outcome = run(setup, options.calm * 60, options.minutes * 60, lambda line: print(line, flush=True))
    print(*outcome.lines, sep="\n", flush=True)
    if outcome.wrong:
        print(f"\n{len(outcome.wrong)} errors, see {folder}:", *outcome.wrong[:50], sep="\n  ")
        return 1
    if not options.keep:
        shutil.rmtree(folder)
    print("\nno errors")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.system.outages.observed", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="with faults")
    parser.add_argument("--calm", type=float, default=5.5, help="minutes without faults before")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs in any case")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
