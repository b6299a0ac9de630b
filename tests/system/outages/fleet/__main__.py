"""`make fleet-outages`: two and three replicas share all logs, and are killed, ended, cut off and replaced."""

import argparse
import shutil
import tempfile
from pathlib import Path

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.outages.fleet.changes import FOR_THREE, FOR_TWO
from tests.system.outages.fleet.run import run


def main() -> int:
    """Run it with each number of replicas. Returns 1 if something was wrong; the folder with all logs is kept then."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="clocksvc-fleet-"))
    print(f"logs in {folder}", flush=True)
    wrong = 0
    for replicas in options.replicas:
        (own := folder / str(replicas)).mkdir()
        changes = [one for one in (FOR_TWO if replicas == 2 else FOR_THREE) if options.only in one.__name__]
        with ValkeyServer() as valkey:
            outcome = run(own, replicas, options.clocks, changes, valkey, interval_s=options.interval)
        print(*outcome.report(), sep="\n", flush=True)
        wrong += len(outcome.wrong())
    if wrong:
        return 1
    if not options.keep:
        shutil.rmtree(folder)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.system.outages.fleet", description=__doc__)
    parser.add_argument("--replicas", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--clocks", type=int, default=48, help="over all logs")
    parser.add_argument("--interval", type=int, default=1, help="of the clocks, in seconds")
    parser.add_argument("--only", default="", help="only the changes whose name contains this")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs in any case")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
