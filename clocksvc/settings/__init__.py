"""The configuration: one YAML file and the environment, validated completely before anything starts.

Must not connect anywhere, nor read the environment of the process: `load` takes it as an argument.
"""

from clocksvc.settings.api import ApiSettings, check_bind
from clocksvc.settings.load import load, settings_from
from clocksvc.settings.models import Settings

__all__ = ["ApiSettings", "Settings", "check_bind", "load", "settings_from"]
