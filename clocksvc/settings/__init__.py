"""The configuration: one YAML file and the environment, validated completely before anything starts.

Must not connect anywhere, nor read the environment of the process: `load` takes it as an argument.
"""

from clocksvc.settings.api import ApiSettings, TokenSettings, check_bind
from clocksvc.settings.clocks import ClockSettings, HeartbeatSettings
from clocksvc.settings.kafka import KafkaSettings
from clocksvc.settings.load import load, settings_from
from clocksvc.settings.models import MetricsSettings, Settings
from clocksvc.settings.redis import RedisSettings, SentinelSettings
from clocksvc.settings.tasks import CelerySettings

__all__ = [
    "ApiSettings",
    "CelerySettings",
    "ClockSettings",
    "HeartbeatSettings",
    "KafkaSettings",
    "MetricsSettings",
    "RedisSettings",
    "SentinelSettings",
    "Settings",
    "TokenSettings",
    "check_bind",
    "load",
    "settings_from",
]
