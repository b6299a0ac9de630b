"""The configuration, from one YAML file and environment variables. It is validated completely before anything starts.

This package must not connect to servers or read `os.environ`. The variables are an argument of `load`.
"""

from clocksvc.settings.api import ApiSettings, check_bind
from clocksvc.settings.load import load, settings_from
from clocksvc.settings.models import Settings
from clocksvc.settings.schedules import advertised_address

__all__ = ["ApiSettings", "Settings", "advertised_address", "check_bind", "load", "settings_from"]
