"""Server-sent events are parsed as the HTML standard defines, for any division of the body."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.client.sse import Event, EventParser

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("body", "events"),
    [
        pytest.param(b"data: a\n\n", [Event("message", "", "a")], id="the kind is message unless said"),
        pytest.param(b"event: tick\nid: 7\ndata: a\n\n", [Event("tick", "7", "a")], id="kind, id and data"),
        pytest.param(b"data:a\ndata: b\ndata\n\n", [Event("message", "", "a\nb\n")], id="several lines of data"),
        pytest.param(b": ping\n\ndata: a\n\n", [Event("message", "", "a")], id="a comment is no event"),
        pytest.param(b"event: tick\n\ndata: a\n\n", [Event("message", "", "a")], id="without data no event"),
        pytest.param(
            b"id: 1\ndata: a\n\ndata: b\n\n", [Event("message", "1", "a"), Event("message", "1", "b")], id="ids last"
        ),
        pytest.param(b"data: a\n\ndata: b\n", [Event("message", "", "a")], id="an unfinished event is dropped"),
        pytest.param(b"retry: 5\nother: x\ndata: a\n\n", [Event("message", "", "a")], id="unknown fields"),
        pytest.param(
            b"data: a\r\n\r\ndata: b\r\r\n", [Event("message", "", "a"), Event("message", "", "b")], id="line ends"
        ),
        pytest.param("data: é\n\n".encode(), [Event("message", "", "é")], id="UTF-8"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [Event("message", "", "a")], id="a byte order mark"),
    ],
)
@given(cuts=st.lists(st.integers(0, 60), max_size=6))
def test_events_are_read_however_the_body_is_cut(body: bytes, events: list[Event], cuts: list[int]) -> None:
    """The parts of a body may end anywhere: within a character, or between CR and LF."""
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    parts = [body[start:end] for start, end in pairwise(places)]

    parser = EventParser()

    assert [event for part in parts for event in parser.feed(part)] == events
