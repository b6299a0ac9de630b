"""`python -m tests.system.ops.cluster`: the chart on a real API server. Exit code 0 only if everything was right."""

import sys
import tempfile
from pathlib import Path

from tests.system.ops.checked_command import FetchFailed
from tests.system.ops.cluster.build import KUBERNETES, built
from tests.system.ops.cluster.objects import Wrong, forget_accounts, prepare, try_out
from tests.system.ops.cluster.release import Releases
from tests.system.ops.cluster.rolling import roll
from tests.system.ops.cluster.server import Cluster, running
from tests.system.ops.programs import ProgramMissing, program


def main() -> int:
    """Build, start, check, end."""
    try:
        programs, helm = built(), program("helm")
        with tempfile.TemporaryDirectory(prefix="cluster-") as folder, running(programs, Path(folder)) as cluster:
            _look(cluster, helm)
        with tempfile.TemporaryDirectory(prefix="rolling-") as folder:
            roll(helm, Path(folder))
    except (FetchFailed, ProgramMissing, Wrong) as error:
        print(error, file=sys.stderr)
        return 1
    print("the chart holds")
    return 0


def _look(cluster: Cluster, helm: Path) -> None:
    prepare(cluster)
    releases = Releases(helm, cluster, KUBERNETES)
    matrix = releases.matrix()
    taken = sum(try_out(cluster, manifests) for manifests in matrix.values())
    print(f"{taken} manifests of {len(matrix)} sets of values: all taken, in a restricted namespace, without a warning")
    forget_accounts(cluster)
    first = releases.installed()
    releases.upgraded(first)
    releases.rolled_back(first)
    releases.refused(first)
    releases.taken_away(first)


if __name__ == "__main__":
    sys.exit(main())
