"""docs/testing.md: its tests pass, and they find the mistake of which the page shows the message."""

import sys
from types import ModuleType
from typing import Any

import pytest

from tests.system.docs.blocks import blocks

pytestmark = pytest.mark.core

IDEMPOTENT = ("self.rows = {}", 'self.rows[order["id"]] = order')
APPENDING = ("self.rows = []", 'self.rows.append(order["id"])')


def text_of_block(name: str) -> str:
    (block,) = [block for block in blocks("docs/testing.md", "python") if block.name == name]
    return block.text


def names_of(name: str, text: str) -> dict[str, Any]:
    """The names that a program defines."""
    names: dict[str, Any] = {"__name__": name}
    exec(compile(text, name, "exec"), names)
    return names


def run_all(names: dict[str, Any]) -> int:
    """Run the tests of a module, and return how many there are."""
    tests = [name for name in names if name.startswith("test_")]
    for name in tests:
        names[name]()
    return len(tests)


@pytest.fixture
def orders_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's consumer can be imported."""
    module = ModuleType("orders_consumer")
    vars(module).update(names_of("orders_consumer", text_of_block("orders_consumer.py")))
    monkeypatch.setitem(sys.modules, "orders_consumer", module)


@pytest.mark.usefixtures("orders_consumer")
def test_the_tests_of_a_buffered_consumer() -> None:
    """The functions of the example pass."""
    assert run_all(names_of("test_orders_consumer", text_of_block("test_orders_consumer.py"))) == 4


@pytest.mark.usefixtures("orders_consumer")
def test_a_flush_that_is_not_idempotent_is_found() -> None:
    """The exploration of the example ends as the page shows it."""
    text = text_of_block("test_orders_consumer.py")
    for good, bad in zip(IDEMPOTENT, APPENDING, strict=True):
        assert text.count(good) == 1
        text = text.replace(good, bad)

    with pytest.raises(AssertionError, match=r"seed \d+: (?s:.*)steps are enough:\n +1\. (?s:.*)ConsumerRun\.replay"):
        names_of("test_orders_consumer", text)["test_every_order_of_events"]()


def test_the_tests_with_a_clock_in_memory() -> None:
    """The functions of the example pass."""
    assert run_all(names_of("test_consumer", text_of_block("test_consumer.py"))) == 2
