"""What all tests share: hypothesis' profiles, and the fixtures with real servers (started only when asked for)."""

import os

from hypothesis import settings

pytest_plugins = ["tests.servers", "tests.system.ops.scraped_fixtures"]

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "local"))
