"""Checks the received tasks against Celery's own schedules and the tick log. Shares no code with the product."""

import math
from collections import defaultdict
from datetime import UTC, datetime

from celery.schedules import crontab

from tests.system.beat.app import CRONTABS, LAST, app
from tests.system.beat.beat_installation import ReceivedTask
from tests.system.evidence import TickWithOffset


def celery_runs(fields: dict[str, str], since_ms: int, until_ms: int) -> list[int]:
    """When Celery's own beat would send, in ms, if it was started at `since_ms` and never delayed."""
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


def find_errors(tasks: list[ReceivedTask], ticks: list[TickWithOffset], since_ms: int, until_ms: int) -> list[str]:
    """Tasks that were lost, added, early or out of order, as text. Repeated deliveries of one id are allowed."""
    errors = []
    by_entry: dict[str, list[ReceivedTask]] = defaultdict(list)
    ids: dict[str, tuple[str, int]] = {}
    appended = {tick.at_ms: tick.appended_ms for tick in ticks}
    for one in tasks:
        if ids.setdefault(one.id, (one.entry, one.due_ms)) != (one.entry, one.due_ms):
            errors.append(f"id {one.id} is used for {ids[one.id]} and {(one.entry, one.due_ms)}")
        if one.tick_ms < one.due_ms or one.tick_ms not in appended or one.wall_ms < appended[one.tick_ms]:
            errors.append(f"early: {one}")
        if one.id not in {earlier.id for earlier in by_entry[one.entry]}:
            by_entry[one.entry].append(one)
    expected = {name: celery_runs(fields, since_ms, until_ms) for name, fields in CRONTABS.items()}
    expected["each tick"] = [tick.at_ms for tick in ticks if since_ms < tick.at_ms <= until_ms]
    for entry, due in expected.items():
        received = [one.due_ms for one in by_entry[entry]]
        if received != due:
            lost, added = sorted(set(due) - set(received)), sorted(set(received) - set(due))
            errors.append(f"{entry}: lost {lost}, added {added}, {received}")
    return errors + _errors_of_last([one.due_ms for one in by_entry[LAST]], expected["tens"])


def _errors_of_last(received: list[int], due: list[int]) -> list[str]:
    if received == sorted(set(received)) and set(received) <= set(due) and received[-1:] == due[-1:]:
        return []
    return [f"{LAST}: {received} of {due}"]


def duplicates(tasks: list[ReceivedTask]) -> int:
    """The number of repeated deliveries."""
    return len(tasks) - len({one.id for one in tasks})
