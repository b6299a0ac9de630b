"""`python -m tests.system.floors`: the path suite on the oldest supported Kafka and Redis.

Once for each Redis. About 5 minutes each on an idle machine. It prints the versions and the result of each run.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.repository import ROOT
from tests.system.floors.plugin import REDIS
from tests.system.floors.servers import KAFKA_3_9, redis_servers

SUITE = "tests/system/path"


def main() -> int:
    """0 if every run passed."""
    codes = [_run(version, program) for version, program in redis_servers().items()]
    return max(codes)


def _run(version: str, program: Path) -> int:
    exact = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    print(f"Kafka {KAFKA_3_9.version}, Redis {version} ({exact})", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.system.floors.plugin", SUITE, *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, REDIS: str(program)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
