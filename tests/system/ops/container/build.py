"""What `docker build` does, without an engine: each instruction of the Dockerfile, executed below a folder.

All stages share the folder, so a file that one stage copies from another must have the same path in both. An unknown
instruction is an error.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.system.ops.container.dockerfile import Instruction, instructions, pairs, sent
from tests.system.ops.container.image import Image

_RUN_SECONDS = 240


def build(context: Path, root: Path) -> Image:
    """Build the image of the Dockerfile in `context` below `root`, with read-only files.

    The base image's Python is the one that runs this, with its pip, its cache, and the packages of the tests.
    """
    (root / "tmp").mkdir(parents=True)
    builder = _Builder(context, Image(root))
    for step in instructions(context / "Dockerfile"):
        getattr(builder, f"do_{step.name.lower()}")(step)
    for folder, _, names in os.walk(root / "opt"):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
    return builder.image


class _Builder:
    def __init__(self, context: Path, image: Image) -> None:
        self.image = image
        self._context = context

    def do_from(self, step: Instruction) -> None:
        self.image.environ, self.image.directory = {}, "/"

    def do_arg(self, step: Instruction) -> None:
        self.image.environ |= pairs(step.rest)

    def do_env(self, step: Instruction) -> None:
        self.image.environ |= pairs(step.rest)

    def do_workdir(self, step: Instruction) -> None:
        self.image.directory = step.rest
        Path(self.image.at(step.rest)).mkdir(parents=True, exist_ok=True)

    def do_copy(self, step: Instruction) -> None:
        *sources, target = step.words
        if "from" not in step.flags:
            for source in sources:
                self._copy(source, Path(self.image.at(self.image.directory), target))
        elif sources != [target]:
            raise AssertionError(f"scripts of a virtual environment know where it is: {sources} can't become {target}")

    def do_run(self, step: Instruction) -> None:
        own = self.image.environment({"HOME": os.environ.get("HOME", "/")})
        own["PATH"] = f"{Path(sys.executable).parent}:{own['PATH']}"
        # pip's own settings stay: the package index is not part of the image
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        words = [self.image.at(word) for word in step.exec_form or ["sh", "-c", step.rest]]
        done = subprocess.run(
            words,
            cwd=self.image.at(self.image.directory),
            env={**outside, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_RUN_SECONDS,
        )
        if done.returncode:
            raise AssertionError(f"RUN {step.rest}: exit code {done.returncode}\n{done.stdout[-2000:]}")

    def do_user(self, step: Instruction) -> None:
        self.image.user = step.rest

    def do_cmd(self, step: Instruction) -> None:
        self.image.command = step.words

    def do_healthcheck(self, step: Instruction) -> None:
        self.image.health = Instruction("CMD", {}, step.rest.removeprefix("CMD").strip()).words

    def do_label(self, step: Instruction) -> None:
        """Not executed."""

    def do_expose(self, step: Instruction) -> None:
        """Not executed."""

    def do_stopsignal(self, step: Instruction) -> None:
        """Not executed."""

    def _copy(self, source: str, into: Path) -> None:
        if (self._context / source).is_file():
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self._context / source, into)
            return
        for file in (self._context / source).rglob("*"):
            if file.is_file() and sent(self._context / ".dockerignore", file.relative_to(self._context).as_posix()):
                copy = into / file.relative_to(self._context / source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, copy)
