"""The upstream clocks in a clock's section, and the checks across clocks. Must not import the section `clocks`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

from pydantic import Field, field_validator

from clocksvc.clock.spec import Source, UpstreamSpec, wanted_clock
from clocksvc.settings.fields import FieldError, Secret, Section, Text

_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?", re.ASCII)


class UpstreamSettings(Section):
    """An upstream clock.

    Attributes:
        url: the address of the service that runs it. None means this installation.
        token: a token of that service with the scope `read`. With `token_file`, it is the content of the file.
    """

    clock: Text = Field(description="the name of a clock")
    url: Text | None = None
    token: Secret | None = None
    token_file: Text | None = None

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and not _URL.fullmatch(url):
            raise ValueError("wanted http://host:port or https://host:port, without user, query or fragment")
        return None if url is None else url.rstrip("/")

    def spec(self) -> UpstreamSpec:
        """Return the upstream clock as an UpstreamSpec, without its token."""
        return UpstreamSpec(self.clock, self.url or "")


def expand_names(after: object) -> object:
    """Replace each name in a list of upstream clocks by its section. Other values are rejected later."""
    if not isinstance(after, list | tuple):
        return after
    return [{"clock": item} if isinstance(item, str) else item for item in after]


class _Clock(Protocol):
    @property
    def source(self) -> Source: ...

    @property
    def interval(self) -> int: ...

    @property
    def after(self) -> Sequence[UpstreamSettings]: ...


def upstream_errors(clocks: Mapping[str, _Clock], *, topic_ids: bool) -> Iterator[FieldError]:
    """Find contradictions between clocks that follow committed offsets, and other clocks.

    Args:
        topic_ids: True if brokers must give topic ids.
    """
    for name, clock in clocks.items():
        path = ("clocks", name)
        if clock.source is Source.COMMITTED and not topic_ids:
            wanted = (
                "wanted kafka.topic_ids: on, because offsets that were committed for a former topic of the same name "
                "must not count"
            )
            yield FieldError((*path, "source"), wanted, str(clock.source))
        for position, upstream in enumerate(clock.after):
            if upstream.url is None:
                yield from _local_errors(clocks, clock, upstream, (*path, "after", position))
    yield from _cycle_errors(clocks)


def _local_errors(
    clocks: Mapping[str, _Clock], clock: _Clock, upstream: UpstreamSettings, path: tuple[str | int, ...]
) -> Iterator[FieldError]:
    if upstream.token is not None:
        yield FieldError((*path, "url"), "missing: wanted the address of the service to which the token belongs")
    elif upstream.clock not in clocks:
        wanted = f"{wanted_clock(upstream.clock, clocks)}, or {{clock, url}} for a clock of another service"
        yield FieldError((*path, "clock"), wanted, upstream.clock)
    elif clock.interval % clocks[upstream.clock].interval:
        interval = clocks[upstream.clock].interval // 1000
        wanted = f"wanted a multiple of {interval}s, the interval of the upstream clock {upstream.clock}"
        yield FieldError((*path[:2], "interval"), wanted, f"{clock.interval // 1000}s")


def _cycle_errors(clocks: Mapping[str, _Clock]) -> Iterator[FieldError]:
    """Find cycles, each at the first of its clocks by name. A clock that is after itself is found elsewhere."""
    upstreams = {
        name: {one.clock for one in clock.after if one.url is None and one.clock in clocks and one.clock != name}
        for name, clock in clocks.items()
    }
    while True:
        try:
            TopologicalSorter(upstreams).prepare()
        except CycleError as error:
            cycle = error.args[1][:0:-1]  # the sorter's order is from upstream clocks to those after them
            begin = cycle.index(min(cycle))
            names = [*cycle[begin:], *cycle[: begin + 1]]
            yield FieldError(("clocks", names[0], "after"), f"wanted no cycle: {' -> '.join(names)}")
            upstreams[names[0]].remove(names[1])  # to find the next one
        else:
            return
