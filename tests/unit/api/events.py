"""Server-sent events as a client sees them. Shares no code with the service."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx2


class Event(NamedTuple):
    """One event, or a comment, which has only `comment`."""

    kind: str = ""
    id: str = ""
    data: Any = None
    retry: int | None = None
    comment: str | None = None


def parse(block: str) -> Event:
    """One event from the lines before an empty line."""
    fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
    comments = [line[1:].strip() for line in block.split("\n") if line.startswith(":")]
    data = fields.get("data")
    return Event(
        kind=fields.get("event", ""),
        id=fields.get("id", ""),
        data=None if data is None else json.loads(data),
        retry=int(fields["retry"]) if "retry" in fields else None,
        comment=comments[0] if comments else None,
    )


def events_of(chunks: Iterator[str]) -> Iterator[Event]:
    """Events from chunks of text."""
    rest = ""
    for chunk in chunks:
        rest += chunk
        while "\n\n" in rest:
            block, rest = rest.split("\n\n", 1)
            yield parse(block)


@contextmanager
def streaming(
    url: str,
    *,
    after: str | int | None = None,
    last_event_id: str | int | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Iterator[Event]]:
    """The events of the stream at this URL, until the end of the block."""
    params = {} if after is None else {"after": str(after)}
    sent = dict(headers) if last_event_id is None else {**headers, "Last-Event-ID": str(last_event_id)}
    with (
        httpx2.Client(timeout=30) as client,
        client.stream("GET", url, params=params, headers=sent) as response,
    ):
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events_of(response.iter_text())
