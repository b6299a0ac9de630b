"""The comparison of output ignores what differs between installations, and nothing else."""

import pytest

from tests.system.docs.blocks import Block, commands_in
from tests.system.docs.links import anchors
from tests.system.docs.output_comparison import missing

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ('{"a": 1, "b": [{"c": "x"}]}', '{"b": [{"c": "y"}, {"c": "z"}], "a": 2.5}', True),
        ('{"a": 1}', '{"a": "1"}', False),
        ('{"a": 1}', '{"a": 1, "b": 2}', False),
        ("one\ntwo", "zero\none\ntwo", True),
        ("one\ntwo", "one", False),
        ("out by ops at 2026-11-22T03:12:45.120Z: disk", "out by anonymous at 2027-01-01T00:00:00Z: disk", True),
        ("out by ops at 2026-11-22T03:12:45.120Z: disk", "out by ops at 2026-11-22T03:12:45.120Z: fire", False),
    ],
)
def test_same_words_and_fields(shown: str, printed: str, same: bool) -> None:
    """Times, user names and values of JSON may differ; words, fields and types may not."""
    assert (missing(shown, printed) == []) is same


def test_commands_as_they_are_typed() -> None:
    """A command continues after a backslash and within quotes; comments are removed; output is kept."""
    text = "$ one \\\n  two   # why\nshown\n$ three 'a\nb'\n"

    found = list(commands_in(Block("page", "console", "one", text)))

    assert [(command.text, command.shown) for command in found] == [("one \\\n  two", "shown"), ("three 'a\nb'", "")]


def test_anchors_are_githubs() -> None:
    """Lower case, words joined by dashes, punctuation gone, the second of two numbered."""
    page = "# A dead one: exclude it?\n## See `x`\n## See x\n```\n# no heading\n```\n"

    assert anchors(page) == {"a-dead-one-exclude-it", "see-x", "see-x-1"}
