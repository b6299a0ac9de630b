"""What `import clocksvc` gives."""

from importlib.metadata import version

import pytest

import clocksvc

pytestmark = pytest.mark.core


def test_the_public_names() -> None:
    """Exactly these; each is loaded when it is first used."""
    assert sorted(clocksvc.__all__) == ["Reporter", "__version__", "is_heartbeat", "ticks", "wait_until"]
    assert all(getattr(clocksvc, name) for name in clocksvc.__all__)
    assert clocksvc.__version__ == version("clocksvc")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'Watcher'"):
        _ = clocksvc.Watcher
