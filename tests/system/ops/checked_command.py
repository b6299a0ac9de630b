"""Runs one command that must succeed within a time. Errors contain the command's last output."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_LAST_WORDS = 1500


class FetchFailed(Exception):
    """A program could not be installed; the message says why, and what to do."""


def run_checked(command: Sequence[str | Path], *, within: float, cwd: Path | None = None, **environ: str) -> str:
    """The output of a command. Raises FetchFailed if it can't be run, fails, or takes longer than `within` seconds."""
    environment: Mapping[str, str] = {**os.environ, **environ}
    shown = " ".join(map(str, command))
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=within,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise FetchFailed(f"not done within {within:g} s: {shown}") from late
    except OSError as error:
        raise FetchFailed(f"can't be run ({error.strerror}): {shown}") from error
    if done.returncode:
        raise FetchFailed(f"exit code {done.returncode}: {shown}\n{done.stdout[-_LAST_WORDS:].rstrip()}")
    return done.stdout
