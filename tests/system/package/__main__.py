"""`python -m tests.system.package`: builds and installs as a user does, with downloads that no hash pins. 2 minutes.

`python -m build` in an isolated environment; the wheel alone, and the sdist with the service's extras, each in a new
virtual environment. It prints what was installed. The tests in this folder do the same without a network.
"""

import sys
import tempfile
from pathlib import Path

from release.version import version
from tests.repository import ROOT
from tests.system.package.distributions import run

BROUGHT = {"clocksvc", "redis", "hiredis", "urllib3"} | ({"async-timeout"} if sys.version_info < (3, 11, 3) else set())


def main() -> None:
    """AssertionError or FetchFailed if a part fails."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
        plain = _installed(next(folder.glob("*.whl")), folder / "plain")
        assert {line.partition("==")[0].partition(" @")[0] for line in plain} == BROUGHT, plain
        run(folder / "plain/bin/python", "-I", "-c", "import clocksvc as c; [getattr(c, name) for name in c.__all__]")
        print("plain:", *plain)

        service = _installed(f"{next(folder.glob('*.tar.gz'))}[server,celery]", folder / "service")
        for command in ("serve", "check", "status"):
            run(folder / "service/bin/clocksvc", command, "--help")
        assert version() in run(folder / "service/bin/clocksvc", "--version")
        run(folder / "service/bin/python", "-I", "-c", "import clocksvc.service.bootstrap, clocksvc.celery")
        print("service:", *service)


def _installed(distribution: str | Path, environment: Path) -> list[str]:
    run(sys.executable, "-m", "venv", environment)
    pip = (environment / "bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", distribution)
    run(*pip, "check")
    return run(*pip, "freeze").splitlines()


if __name__ == "__main__":
    main()
