"""What `import clocksvc` gives."""

from importlib.metadata import version
from pathlib import Path

import pytest

import clocksvc

pytestmark = pytest.mark.core


def test_the_public_names() -> None:
    """Exactly these; each is loaded when it is first used."""
    assert sorted(clocksvc.__all__) == ["Reporter", "Schedules", "__version__", "is_heartbeat", "ticks", "wait_until"]
    assert all(getattr(clocksvc, name) for name in clocksvc.__all__)
    assert clocksvc.__version__ == version("clocksvc")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'Watcher'"):
        _ = clocksvc.Watcher


def test_every_folder_with_modules_is_a_package() -> None:
    """setuptools leaves out other folders, so that a wheel has no such modules."""
    folders = {path.parent for path in Path(clocksvc.__file__).parent.rglob("*.py")}

    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
