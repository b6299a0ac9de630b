"""What is wrong with the tasks that came, by Celery's own schedule and the tick log. Knows nothing of the product."""

import math
from collections import defaultdict
from datetime import UTC, datetime

from celery.schedules import crontab

from tests.system.beat.app import (
    CRONTABS,
    LAST,
    app,
)
from tests.system.beat.scene import Sent
from tests.system.evidence import TickWithOffset


def celery_runs(fields: dict[str, str], since_ms: int, until_ms: int) -> list[int]:
    """When a beat that was started at `since_ms` sends by Celery's own word, if nothing holds it up."""
    now = datetime.fromtimestamp(since_ms / 1000, UTC)
    cron = crontab(**fields, app=app)
    cron.nowfun = lambda: now
    found, last, now_ms = [], now, since_ms
    while now_ms <= until_ms:
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        answer = cron.is_due(last)
        if answer.is_due and now > last:
            found.append(now_ms)
            last = now
        now_ms += max(1_000, math.ceil(answer.next * 1000))
    return found


def wrong_with(sent: list[Sent], ticks: list[TickWithOffset], since_ms: int, until_ms: int) -> list[str]:
    """Lost, twice, early, out of order; empty when all is well. Doubles by id are no fault, and not counted here."""
    wrong = []
    by_entry: dict[str, list[Sent]] = defaultdict(list)
    ids: dict[str, tuple[str, int]] = {}
    appended = {tick.at_ms: tick.appended_ms for tick in ticks}
    for one in sent:
        if ids.setdefault(one.id, (one.entry, one.due_ms)) != (one.entry, one.due_ms):
            wrong.append(f"id {one.id} is {ids[one.id]} and {(one.entry, one.due_ms)}")
        if one.tick_ms < one.due_ms or one.tick_ms not in appended or one.wall_ms < appended[one.tick_ms]:
            wrong.append(f"early: {one}")
        if one.id not in {earlier.id for earlier in by_entry[one.entry]}:
            by_entry[one.entry].append(one)
    expected = {name: celery_runs(fields, since_ms, until_ms) for name, fields in CRONTABS.items()}
    expected["each tick"] = [tick.at_ms for tick in ticks if since_ms < tick.at_ms <= until_ms]
    for entry, due in expected.items():
        got = [one.due_ms for one in by_entry[entry]]
        if got != due:
            wrong.append(f"{entry}: lost {sorted(set(due) - set(got))}, added {sorted(set(got) - set(due))}, {got}")
    return wrong + _wrong_with_last([one.due_ms for one in by_entry[LAST]], expected["tens"])


def _wrong_with_last(got: list[int], due: list[int]) -> list[str]:
    if got == sorted(set(got)) and set(got) <= set(due) and got[-1:] == due[-1:]:
        return []
    return [f"{LAST}: {got} of {due}"]


def doubles(sent: list[Sent]) -> int:
    """How many tasks came again under an id that had come."""
    return len(sent) - len({one.id for one in sent})
