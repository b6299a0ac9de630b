"""Creates the observer of committed offsets from the settings, in the process that runs it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clocksvc.client.http import ServiceClient
from clocksvc.clock.logs import log_of
from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.committed.observer import Observer
from clocksvc.interfaces.committed_offsets import CommittedOffsets
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.interfaces.upstreams import UpstreamKey, Upstreams, upstream_key
from clocksvc.kafka.committed_offsets import KafkaCommittedOffsets
from clocksvc.service.bootstrap import open_store_server
from clocksvc.service.followed_clocks import FollowedClocks
from clocksvc.service.upstreams import AllUpstreams, LocalUpstreams, RemoteUpstreams
from clocksvc.settings import Settings


@dataclass(frozen=True, slots=True)
class OpenedObserver:
    """An observer, and the log of each clock that it can observe."""

    observer: Observer
    logs: Mapping[str, int]


def open_observer(settings: Settings) -> OpenedObserver:
    """Return the observer of all clocks with the source `committed`. It connects at its first poll."""
    specs = {name: spec for name, spec in settings.clock_specs().items() if spec.source is Source.COMMITTED}
    server, time = open_store_server(settings), SystemTime()
    observer = Observer(
        specs.values(),
        offsets=open_committed_offsets(settings),
        upstreams=open_upstreams(settings, specs.values(), time),
        stores={name: server.store(name, spec.recent_ticks_ms) for name, spec in specs.items()},
        time=time,
    )
    return OpenedObserver(observer, {name: log_of(name) for name in specs})


def open_committed_offsets(settings: Settings) -> CommittedOffsets:
    """Return the offsets of the configured Kafka. It connects at the first question."""
    return KafkaCommittedOffsets(settings.kafka_settings())


def open_upstreams(settings: Settings, specs: Iterable[ClockSpec], time: Time) -> Upstreams:
    """Return the upstream clocks of some clocks. The ticks of those in this installation are followed from now on."""
    keys = {upstream_key(one.clock, one.url, spec.topics) for spec in specs for one in spec.after}
    local = {key.clock: settings.clock_spec(key.clock) for key in keys if not key.url}
    followed = FollowedClocks(open_store_server(settings), local, settings.schedules_specs(), time)
    if local:
        followed.start()
    return AllUpstreams(LocalUpstreams(followed.views), RemoteUpstreams(_clients(settings, keys)))


def _clients(settings: Settings, keys: Iterable[UpstreamKey]) -> Mapping[UpstreamKey, ServiceClient]:
    tokens = {(one.clock, one.url): token for one, token in settings.upstream_tokens().items()}
    return {key: ServiceClient(key.url, tokens.get((key.clock, key.url))) for key in keys if key.url}
