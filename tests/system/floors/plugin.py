"""A pytest plugin: the tests' own Kafka is 3.9, and their Valkey is the Redis in FLOORS_REDIS."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clocksvc.dev import valkey_server
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.floors.servers import OldKafkaServer

REDIS = "FLOORS_REDIS"
"""The environment variable with the path of the server program."""


def pytest_configure(config: pytest.Config) -> None:
    """Replace both programs before a server is started."""
    from tests import servers  # a plugin, too, and pytest must be the first that imports it

    patch = pytest.MonkeyPatch()
    patch.setattr(valkey_server, "valkey_binary", lambda: Path(os.environ[REDIS]))
    patch.setattr(ValkeyServer, "_config", _config_before_7)
    patch.setattr(servers, "KafkaServer", OldKafkaServer)
    config.add_cleanup(patch.undo)


def _config_before_7(
    server: ValkeyServer, config: Callable[[ValkeyServer], dict[str, str]] = ValkeyServer._config
) -> dict[str, str]:
    """Without a setting that Redis 6.2 does not have. Without `save`, SIGTERM saves nothing."""
    return {name: value for name, value in config(server).items() if name != "shutdown-on-sigterm"}
