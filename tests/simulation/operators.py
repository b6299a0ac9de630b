"""Operators who run `clocksvc init`, exclude and pause, as the command line and the HTTP API do it."""

from collections import Counter

from clocksvc.leader.set_first_tick import set_first_tick

from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestKind, ResultKind
from clocksvc.errors import ClocksvcError, StoreUnavailable
from tests.faulty.store import FaultyStore
from tests.faulty.tick_log import FaultyTickLog
from tests.simulation.environment import Environment
from tests.simulation.intercepted import InterceptedStore, Link
from tests.simulation.oracle import Oracle
from tests.simulation.scheduler import Scheduler, SimulatedTime

EXPIRES_MS = (300, 2_000, 10_000)
LONGER_S = 5.0


class InitRun:
    """One run of `clocksvc init`."""

    def __init__(
        self, scheduler: Scheduler, environment: Environment, ticklog: FaultyTickLog, told: Counter[str]
    ) -> None:
        self._scheduler, self._environment, self._ticklog, self._told = scheduler, environment, ticklog, told

    def run(self, last_tick_ms: int) -> None:
        """Run once; a rejection is an answer."""
        store = InterceptedStore(self._scheduler, self._environment.store, Link(), "init")
        try:
            set_first_tick(self._environment.spec, store, self._ticklog, SimulatedTime(self._scheduler), last_tick_ms)
            self._told["init: done"] += 1
        except ClocksvcError as error:
            self._told[f"init: {type(error).__name__}"] += 1
            self._scheduler.say(f"init {last_tick_ms} is rejected: {error}")


class OverrideRequest:
    """One request to the leader, as `clocksvc/api/leader_requests.py` makes it."""

    def __init__(
        self, scheduler: Scheduler, store: FaultyStore, link: Link, oracle: Oracle, told: Counter[str]
    ) -> None:
        self._scheduler, self._oracle, self._told = scheduler, oracle, told
        self._store = InterceptedStore(scheduler, store, link, "asking")

    def run(self, kind: RequestKind, partition: Partition | None) -> None:
        """Submit the request, wait, give up; pass the answer to the oracle."""
        try:
            snapshot = self._store.snapshot()
        except StoreUnavailable:
            return
        if snapshot.leader is None:
            return
        expires_ms = snapshot.now_ms + self._scheduler.rng.choice(EXPIRES_MS)
        id = f"{self._scheduler.rng.getrandbits(64):x}"
        named = None if partition is None else (partition.topic, partition.number)
        self._oracle.standing.asked(id, kind.value, named, expires_ms)
        word = self._ask(Request(id, kind, "an operator", snapshot.now_ms, "a reason", expires_ms, partition))
        self._told[f"{kind.value}: {word}"] += 1
        self._scheduler.say(f"{kind.value} {partition}: {word}")

    def _ask(self, request: Request) -> str:
        if not self._leave(request):
            return "not left"
        answer = self._look(request, (request.expires_ms - request.at_ms) / 1000)
        if answer is None and self._withdraw(request):
            return self._not_done(request, "withdrawn")
        return answer or self._look(request, LONGER_S) or "unknown"

    def _leave(self, request: Request) -> bool:
        try:
            if not self._store.submit_request(request):
                self._not_done(request, "too many wait")
                return False
        except StoreUnavailable:
            if self._withdraw(request):
                self._not_done(request, "the store did not answer, and it was withdrawn")
            return False
        return True

    def _look(self, request: Request, seconds: float) -> str | None:
        until_ms = self._scheduler.now_ms + int(seconds * 1000)
        while self._scheduler.now_ms < until_ms:
            try:
                answer = self._store.read_request_result(request.id)
            except StoreUnavailable:
                answer = None
            if answer is not None:
                if answer.kind is not ResultKind.DONE:
                    return self._not_done(request, answer.kind.value)
                self._oracle.standing.told_done(request.id)
                return "done"
            self._scheduler.wait(0.2)
        return None

    def _withdraw(self, request: Request) -> bool:
        try:
            return bool(self._store.cancel_request(request.id))
        except StoreUnavailable:
            return False

    def _not_done(self, request: Request, why: str) -> str:
        self._oracle.standing.told_not_done(request.id, why)
        return why
