"""Operators who send requests to a clock's leader, as the command line and the HTTP API do it."""

from collections import Counter

from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestKind, ResultKind
from clocksvc.errors import StoreUnavailable
from tests.simulation.judge.expected_overrides import ExpectedOverrides
from tests.simulation.judge.judge import Judge
from tests.simulation.world.environment import Environment
from tests.simulation.world.intercepted import Intercepted, Link
from tests.simulation.world.scheduler import Scheduler

EXPIRES_MS = (300, 2_000, 10_000)
LONGER_S = 5.0


class LeaderRequest:
    """One request to a clock's leader, as `clocksvc/service/request_sender.py` makes it."""

    def __init__(
        self,
        clock: str,
        scheduler: Scheduler,
        environment: Environment,
        judge: Judge,
        link: Link,
        answers: Counter[str],
    ) -> None:
        self._clock, self._scheduler, self._judge, self._answers = clock, scheduler, judge, answers
        access = environment.access
        self._store = Intercepted(scheduler, access, access.store(clock), link, "asking")

    def run(
        self,
        kind: RequestKind,
        partition: Partition | None,
        last_tick_ms: int | None,
        *,
        wait_for_leader: bool = False,
        skip_ticks: bool = False,
    ) -> None:
        """Submit the request, wait, give up; pass the answer to the judge."""
        try:
            snapshot = self._store.snapshot()
        except StoreUnavailable:
            return
        expires_ms = snapshot.now_ms + (max(EXPIRES_MS) if wait_for_leader else self._scheduler.rng.choice(EXPIRES_MS))
        id = f"{self._scheduler.rng.getrandbits(64):x}"
        named = None if partition is None else (partition.topic, partition.number)
        self._standing.asked(id, kind.value, named, expires_ms, last_tick_ms)
        what = (partition, last_tick_ms, skip_ticks)
        request = Request(id, kind, "an operator", snapshot.now_ms, "a reason", expires_ms, *what)
        answer = self._ask(request)
        self._answers[f"{kind.value}: {answer}"] += 1
        self._scheduler.say(f"{kind.value} {partition or last_tick_ms or ''} of {self._clock}: {answer}")

    @property
    def _standing(self) -> ExpectedOverrides:
        return self._judge.clock(self._clock).standing

    def _ask(self, request: Request) -> str:
        if not self._submit(request):
            return "not submitted"
        answer = self._poll(request, (request.expires_ms - request.at_ms) / 1000)
        if answer is None and self._cancel(request):
            return self._not_done(request, "cancelled")
        return answer or self._poll(request, LONGER_S) or "unknown"

    def _submit(self, request: Request) -> bool:
        try:
            if not self._store.submit_request(request):
                self._not_done(request, "too many wait")
                return False
        except StoreUnavailable:
            if self._cancel(request):
                self._not_done(request, "the store did not answer, and it was cancelled")
            return False
        return True

    def _poll(self, request: Request, seconds: float) -> str | None:
        until_ms = self._scheduler.now_ms + int(seconds * 1000)
        while self._scheduler.now_ms < until_ms:
            try:
                answer = self._store.read_request_result(request.id)
            except StoreUnavailable:
                answer = None
            if answer is not None:
                if answer.kind is not ResultKind.DONE:
                    return self._not_done(request, answer.kind.value)
                self._standing.answered_done(request.id)
                return "done"
            self._scheduler.wait(0.2)
        return None

    def _cancel(self, request: Request) -> bool:
        try:
            return bool(self._store.cancel_request(request.id))
        except StoreUnavailable:
            return False

    def _not_done(self, request: Request, why: str) -> str:
        self._standing.answered_not_done(request.id, why)
        return why
