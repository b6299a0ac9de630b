"""The image without an engine: its commands run as processes, as its user, in its environment alone.

A path of the image is the same path below a folder; `build.py` fills it.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.process import Process

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass
class Image:
    """The settings of the Dockerfile's last stage."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = "0:0"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def at(self, text: str) -> str:
        """The text with each path of the image replaced by the one below the folder."""
        return re.sub(r"(?<![\w./*)\]'])/(?=[a-z])", f"{self.root}/", text)

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """The image's environment, with `more` added."""
        environ = {"PATH": _SYSTEM_PATH, "HOME": "/", "TMPDIR": f"{self.root}/tmp"}
        for name, value in self.environ.items():
            environ[name] = self.at(value).replace("$PATH", _SYSTEM_PATH)
        return {**environ, **more}

    def run(self, command: Sequence[str], log: Path, environ: Mapping[str, str]) -> Process:
        """Start a command as the image's user would run it."""
        words = [self.at(word) for word in command]
        environment = self.environment(environ)
        program = shutil.which(words[0], path=environment["PATH"])
        if program is None:
            raise AssertionError(f"the image has no {words[0]}")
        command = [*self._as_user(environment), program, *words[1:]]
        return Process(command, log, environ=environment, inherit=False, cwd=self.at(self.directory))

    def _as_user(self, environ: Mapping[str, str]) -> list[str]:
        """A prefix for a command that gives it the image's user and no rights of root; empty if not root.

        If that user may not read the Python that runs this, a user namespace maps root's files without its rights.
        """
        if os.geteuid() != 0:
            return []
        uid, _, gid = self.user.partition(":")
        real = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--inh-caps=-all"]
        lent = ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}"]
        python = shutil.which("python", path=environ["PATH"]) or sys.executable
        for way in (real, lent):
            if shutil.which(way[0]) and _python_of([*way, python]) == _python_of([python]):
                return way
        raise AssertionError(f"root needs setpriv or unshare to run programs as {self.user}: neither works here")


def _python_of(command: Sequence[str]) -> str:
    """Version and library of a Python: one that may not read its own library may take another one's."""
    asked = subprocess.run([*command, "-c", "import os, sys; print(sys.version, os.__file__)"], capture_output=True)
    return asked.stdout.decode()
