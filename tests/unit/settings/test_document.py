"""The YAML text itself, before any field is validated."""

import pytest

from clocksvc.errors import SettingsError
from tests.unit.settings.sample_config import SECRET, loaded

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "not valid YAML: line 3, column 1: the key 'a' occurs twice in one mapping"),
        ("redis: {url: a, url: b}", "not valid YAML: line 1, column 17: the key 'url' occurs twice in one mapping"),
        (f"redis: {{password: *{SECRET}}}", "not valid YAML: line 1, column 19: found undefined alias …"),
        (f"redis: {{password: !{SECRET} x}}", "not valid YAML: line 1, column 19: could not determine a constructor"),
        (f"redis: [{SECRET}", "not valid YAML: line 1, column"),
        ("a: 2024-13-45", "not valid YAML: a value looks like a date or another special type"),
        ("a: !!bool x", "not valid YAML: a value looks like a date or another special type"),
        ("a: \x00", "not valid YAML: "),
        ("[" * 5_000, "not valid YAML: it is nested too deeply"),
        ("--- 1\n--- 2", "not valid YAML: line 2, column 1: but found another document"),
    ],
)
def test_invalid_yaml_is_rejected_without_showing_it(text: str, message: str) -> None:
    """The error gives position and reason, never the text."""
    with pytest.raises(SettingsError) as raised:
        loaded(text)

    (problem,) = raised.value.problems
    assert problem.startswith(message)
    assert SECRET not in problem


def test_merge_keys_are_not_duplicate_keys() -> None:
    """YAML's `<<` may repeat a key of the mapping; the mapping's own value is used."""
    settings = loaded("""
        clocks:
          one: &one {topics: [a], group: g, interval: 5m}
          two: &two {<<: *one, interval: 10m}
          three: {<<: [*two, *one], topics: [b]}
    """)

    assert [spec.interval_ms for spec in settings.clock_specs().values()] == [300_000, 600_000, 600_000]


def test_recursive_data_is_rejected() -> None:
    """With YAML anchors a list can contain itself."""
    with pytest.raises(SettingsError):
        loaded("clocks: &c {checkins: *c}\nredis: &r [*r]\nkafka: &k {a.b: *k}\napi: {tokens: &t [*t]}")
