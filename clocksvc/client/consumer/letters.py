"""Which records must be sent to the dead-letter topic, and whether they were delivered. No I/O, no reading of time."""

import random
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any

from clocksvc.client.consumer.assignment import Assignment
from clocksvc.client.consumer.retry import RetryPolicy
from clocksvc.interfaces.dead_letters import Cause


class Letter:
    """A record that must be sent.

    Attributes:
        assignment, record, cause: the record, its partition, and why it can't be processed.
        token: the token of the record in the watermark. The token is done when all of its letters are delivered.
        failures: how many attempts failed.
    """

    def __init__(self, assignment: Assignment, record: Any, cause: Cause, token: int) -> None:
        self.assignment, self.record, self.cause, self.token = assignment, record, cause, token
        self.failures = 0


class Letters:
    """The dead letters without an acknowledgement."""

    def __init__(self, retry: RetryPolicy, rng: random.Random) -> None:
        self._retry, self._rng = retry, rng
        self._letters: dict[int, Letter] = {}
        self._due: list[tuple[float, int]] = []
        self._undelivered: dict[int, int] = {}
        self._last_id = 0

    @property
    def empty(self) -> bool:
        """True if all letters were delivered."""
        return not self._letters

    @property
    def due_at(self) -> float | None:
        """When the next letter must be sent; None if none must be sent."""
        return self._due[0][0] if self._due else None

    def add(self, letter: Letter, now: float) -> None:
        """Add a letter, to be sent now."""
        self._last_id += 1
        self._letters[self._last_id] = letter
        self._undelivered[letter.token] = self._undelivered.get(letter.token, 0) + 1
        heappush(self._due, (now, self._last_id))

    def take_due(self, now: float) -> Iterator[tuple[int, Letter]]:
        """Yield the letters that must be sent now, with their ids."""
        while self._due and self._due[0][0] <= now:
            _, letter_id = heappop(self._due)
            if letter_id in self._letters:
                yield letter_id, self._letters[letter_id]

    def delivered(self, letter_id: int) -> Letter | None:
        """A letter was delivered. Returns it; None if the id is unknown, because its assignment has ended."""
        letter = self._letters.pop(letter_id, None)
        if letter is not None:
            self._undelivered[letter.token] -= 1
        return letter

    def failed(self, letter_id: int, now: float) -> Letter | None:
        """A letter was not delivered. Returns it if there is no further attempt; otherwise None."""
        letter = self._letters.get(letter_id)
        if letter is None:
            return None
        letter.failures += 1
        if self._retry.exhausted(letter.failures):
            return letter
        heappush(self._due, (now + self._retry.delay_s(letter.failures, self._rng), letter_id))
        return None

    def is_done(self, token: int) -> bool:
        """True if the last letter of this token was delivered or removed since the last call."""
        if self._undelivered.get(token) != 0:
            return False
        del self._undelivered[token]
        return True

    def clear(self) -> None:
        """Forget all letters: the consumer ends without them."""
        self._letters.clear()
        self._due.clear()
        self._undelivered.clear()

    def remove_inactive(self) -> list[Letter]:
        """Remove and return the letters of assignments that have ended."""
        ended = [letter_id for letter_id, letter in self._letters.items() if not letter.assignment.active]
        return [letter for letter_id in ended if (letter := self.delivered(letter_id)) is not None]
