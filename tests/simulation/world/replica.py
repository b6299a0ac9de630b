"""One process of the service: a leader for each log, a feed for each clock, and one follower of notices."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from clocksvc.clock.log_owner import Installation
from clocksvc.clock.logs import group_by_log
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.errors import StoreUnavailable
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.leader import Leader, Phase
from clocksvc.service.notice_follower import NoticeFollower
from clocksvc.service.tick_feed import TickFeed
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.simulation.judge.judge import Judge
from tests.simulation.judge.violation import Violation
from tests.simulation.judge.witness import Witness
from tests.simulation.sometimes import Path
from tests.simulation.world.environment import INSTALLATION, Environment
from tests.simulation.world.intercepted import (
    InjectedCrash,
    Intercepted,
    InterceptedLeases,
    InterceptedLog,
    InterceptedNotices,
    InterceptedReads,
    InterceptedTopics,
    Link,
    WatchedTickLog,
)
from tests.simulation.world.scheduler import Scheduler, SimulatedTime
from tests.simulation.world.store_control import StoreControl


@dataclass
class Replica:
    """One process of the service.

    Attributes:
        specs: the clocks in its configuration.
        feeds: by clock. shown: the last tick that each showed.
        leading: the logs that it leads, as it believes.
        is_command: it is `clocksvc init`, which leads until its request is done.
        installation: another one for a second installation on the same topic.
    """

    name: str
    specs: Mapping[str, ClockSpec]
    time: SimulatedTime
    installation: Installation = INSTALLATION
    is_command: bool = False
    link: Link = field(default_factory=Link)
    leaving: bool = False
    leading: set[int] = field(default_factory=set)
    feeds: dict[str, TickFeed] = field(default_factory=dict)
    shown: dict[str, int] = field(default_factory=dict)

    @property
    def is_guest(self) -> bool:
        """True for a replica of another installation."""
        return self.installation != INSTALLATION


class ReplicaBuilder:
    """Starts the threads of replicas.

    Attributes:
        began: is called when a replica begins or ceases to lead a log.
        ended: is called when a replica has left.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        environment: Environment,
        judge: Judge,
        began: Callable[[Replica, int, bool], None],
        ended: Callable[[Replica], None],
    ) -> None:
        self._scheduler, self._environment, self._judge = scheduler, environment, judge
        self._began, self._ended = began, ended
        self._keep = scheduler.rng.choice((5, 2_000))

    def start(self, replica: Replica, access: StoreControl) -> None:
        """Start all threads of a replica, over one store."""
        environment, scheduler = self._environment, self._scheduler
        remaining = set(group_by_log(replica.specs))
        for log, names in group_by_log(sorted(replica.specs)).items():
            if log not in environment.logs:
                continue
            specs = {name: replica.specs[name] for name in names}
            witness = Witness(replica.name, log, specs, replica.time, guest=replica.is_guest)
            self._judge.add_witness(witness)
            leader, leases = self._leader(replica, access, witness)
            scheduler.spawn(replica.name, partial(self._lead, replica, leader, leases, log, remaining))
        if not replica.is_guest and not replica.is_command:
            self._start_feeds(replica, access)

    # -- the leaders --------------------------------------------------------------------------------------------------

    def _leader(self, replica: Replica, access: StoreControl, witness: Witness) -> tuple[Leader, InterceptedLeases]:
        environment, scheduler, link, log = self._environment, self._scheduler, replica.link, witness.log
        leases = InterceptedLeases(scheduler, access, log, link, self._judge.lease_watchers(witness, access))
        stores = {
            name: Intercepted(
                scheduler, access, access.store(name), link, "leader", self._judge.store_watchers(witness, name, access)
            )
            for name in witness.specs
        }

        def described(began: int, names: Any, found: Any) -> None:
            witness.note_metadata(began, names, found)

        parts = LeaderDependencies(
            log=log,
            installation=replica.installation,
            specs=witness.specs,
            leases=leases,
            stores=stores,
            ticklog=self.ticklog(replica.name, log, link, witness),
            topics=InterceptedTopics(scheduler, environment.topics, link, described),
            time=replica.time,
            kafka_ready=lambda: self._kafka_ready(log, link),
            new_id=self.new_id,
        )
        return Leader(parts, replica.name, _Observer(self._began, replica)), leases

    def ticklog(self, process: str, log: int, link: Link, witness: Witness | None) -> WatchedTickLog:
        """Return a log as one process uses it."""
        environment, judge = self._environment, self._judge
        commits = environment.commits[log]

        def fenced() -> None:
            judge.check()
            commits.fenced_by = process

        def began(faulty: FaultyLog) -> None:
            own = faulty._own
            if own is not None and id(own) not in commits.writers:
                commits.writers[id(own)] = (own, process)

        def torn() -> None:
            judge.logs[log].has_torn = True

        intercepted = InterceptedLog(self._scheduler, environment.logs[log], link, fenced, began, torn)
        watch = judge.log_watcher(process, log, witness)
        return WatchedTickLog(FaultyTickLog(intercepted.as_log()), watch)

    def new_id(self) -> str:
        """Return 32 hexadecimal digits."""
        return f"{self._scheduler.rng.getrandbits(128):032x}"

    def _kafka_ready(self, log: int, link: Link) -> bool:
        self._scheduler.between("kafka_ready")
        if link.kafka_cut or self._environment.logs[log].unavailable or self._environment.topics.unavailable:
            self._scheduler.wait(self._scheduler.rng.uniform(0.1, 3.0))
            return False
        return True

    def _lead(self, replica: Replica, leader: Leader, leases: InterceptedLeases, log: int, remaining: set[int]) -> None:
        """The body of a leader's thread."""
        scheduler = self._scheduler
        while not replica.leaving:
            try:
                wait_s = leader.step()
            except InjectedCrash:
                with suppress(InjectedCrash):
                    leader.start_over()
                wait_s = 1.0
            if leader.phase is not Phase.LEADING or wait_s <= 0:
                scheduler.wait(max(wait_s, 0.0), lambda: replica.leaving)
                continue
            try:
                if leases.wait_for_notification(wait_s) and (gather_s := leader.gather_s()) > 0:
                    scheduler.wait(gather_s, lambda: replica.leaving)
            except (StoreUnavailable, InjectedCrash):
                scheduler.wait(wait_s)
        with suppress(InjectedCrash):
            leader.leave()
        remaining.discard(log)
        if not remaining:
            self._ended(replica)

    # -- the feeds ----------------------------------------------------------------------------------------------------

    def _start_feeds(self, replica: Replica, access: StoreControl) -> None:
        scheduler, names = self._scheduler, sorted(replica.specs)
        for name in names:
            store = Intercepted(scheduler, access, access.store(name), replica.link, "feed")
            replica.feeds[name] = TickFeed(name, store, replica.time, buffer_size=self._keep)
        notices = InterceptedNotices(
            scheduler, access, names, replica.link, lambda: self._judge.sometimes.took(Path.NOTICES_MISSED)
        )
        reads = InterceptedReads(scheduler, access, replica.link)
        follower = NoticeFollower(replica.feeds.values(), notices, reads, replica.time)
        scheduler.spawn(replica.name, lambda: self._follow(replica, follower))

    def _follow(self, replica: Replica, follower: NoticeFollower) -> None:
        """The body of the thread that follows notices."""
        while True:
            if not follower.step():
                self._scheduler.wait(0.5)
            for clock, feed in replica.feeds.items():
                self._check_shown(replica, clock, feed.last)

    def _check_shown(self, replica: Replica, clock: str, last: Tick | None) -> None:
        shown = replica.shown.get(clock, 0)
        if last is None:
            if shown:
                raise Violation(f"back: {replica.name} showed {shown} of {clock} and now nothing")
            return
        if last.at_ms < shown:
            raise Violation(f"back: {replica.name} showed {shown} of {clock} and now {last.at_ms}")
        if last.at_ms != shown:
            self._judge.clock(clock).judge_shown(last, replica.name)
        replica.shown[clock] = last.at_ms


class _Observer:
    """A leader's observer."""

    def __init__(self, began: Callable[[Replica, int, bool], None], replica: Replica) -> None:
        self._began, self._replica = began, replica

    def leading(self, log: int, yes: bool) -> None:
        self._began(self._replica, log, yes)

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        pass
