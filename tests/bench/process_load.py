"""The resources that a process uses, as Linux counts them."""

import os
import re
from pathlib import Path

_TICKS_A_SECOND, _PAGE_BYTES = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """Seconds of processor time of all threads since the start of the process."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS_A_SECOND


def resident_mib(pid: int) -> float:
    """MiB of memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 2**20


def threads(pid: int) -> int:
    """The number of threads, those of libraries too."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def connections(pid: int, port: int) -> int:
    """The number of connections to a port."""
    process = Path(f"/proc/{pid}")
    links = (os.readlink(fd) for fd in (process / "fd").iterdir() if os.path.lexists(fd))
    own = {found[1] for link in links if (found := re.match(r"socket:\[(\d+)\]", link))}
    rows = [line.split() for file in ("tcp", "tcp6") for line in (process / "net" / file).read_text().splitlines()[1:]]
    return sum(row[9] in own and int(row[2].rpartition(":")[2], 16) == port for row in rows)
