"""Runs one server and kills it when the parent process ends.

This file is a script, run as `python -I -S guard.py LEFTOVERS COMMAND...`. It is not imported, and needs only the
standard library, so that it starts fast.

The guard's standard input is a pipe from the parent. The parent never writes to it. When the parent ends, for any
reason, the guard reads an end of file. It then kills the server and removes the directory LEFTOVERS (unless the
argument is ""). At its start, the guard prints `pid N` or `error TEXT`. It sends the server's output to its own
standard error, and its exit code is the server's.

PR_SET_PDEATHSIG can't be used: it exists only on Linux, and sends its signal when the *thread* that started the child
ends.
"""

import os
import select
import shutil
import signal
import sys

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def main(leftovers: str, command: list[str]) -> int:
    wake, wake_writer = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        pid = os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, _STDIN, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, _STDERR, _STDOUT),
            ],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # or the server would ignore them, as Python does
        )
    except OSError as error:
        say(f"error {error}")
        return 127
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    say(f"pid {pid}")
    return watch(pid, wake, leftovers)


def say(line: str) -> None:
    os.write(_STDOUT, f"{line}\n".encode())
    os.close(_STDOUT)


def watch(pid: int, wake: int, leftovers: str) -> int:
    while True:
        readable, _, _ = select.select([_STDIN, wake], [], [])
        if _STDIN in readable:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            if leftovers:
                shutil.rmtree(leftovers, ignore_errors=True)
            return 0
        os.read(wake, 512)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
