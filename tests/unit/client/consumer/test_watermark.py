"""The contiguous low watermark, against a model that keeps each record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.client.consumer.watermark import Timestamps, Watermark

pytestmark = pytest.mark.core

_steps = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.integers(1, 4), st.integers(0, 3)),
        st.tuples(st.just("pass_over"), st.integers(1, 4), st.just(0)),
        st.tuples(st.just("done"), st.integers(0, 30), st.just(0)),
    ),
    max_size=40,
)


class EachRecord:
    """The model: the records with their tokens, without those at the beginning that are done."""

    def __init__(self) -> None:
        self.records: list[tuple[int, int | None]] = []
        self.done: set[int | None] = {None}
        self.position: int | None = None
        self.highest_ms: int | None = None

    def add(self, offsets: range, token: int | None) -> None:
        self.records += [(offset, token) for offset in offsets]
        self._advance()

    def finish(self, token: int) -> None:
        self.done.add(token)
        self._advance()

    def _advance(self) -> None:
        while self.records and self.records[0][1] in self.done:
            offset, _ = self.records.pop(0)
            self.position, self.highest_ms = offset + 1, offset * 10


@given(_steps)
def test_the_watermark_is_that_of_single_records(steps: list[tuple[str, int, int]]) -> None:
    """Position and timestamps are those of the model, in which each record is done on its own.

    Tokens are used again after a gap, as a batch is that has records before and after a dead letter.
    """
    watermark, model = Watermark(), EachRecord()
    offset, token, tokens = 100, 0, [0]
    for kind, number, back in steps:
        if kind == "done":
            open_tokens = [one for one in tokens if one not in model.done]
            if open_tokens:
                finished = open_tokens[number % len(open_tokens)]
                watermark.done(finished)
                model.finish(finished)
            check(watermark, model)
            continue
        records = range(offset, offset + number)
        offset += number
        timestamps = Timestamps(1, records[0] * 10, records[-1] * 10)
        if kind == "pass_over":
            watermark.pass_over(records.stop, timestamps)
            model.add(records, None)
        else:
            if back == 0:
                token += 1
                tokens.append(token)
            usable = [one for one in tokens if one not in model.done] or [token + 1]
            used = usable[-min(back, len(usable)) or -1]
            if used not in tokens:
                token = used
                tokens.append(used)
            watermark.extend(used, records.stop, timestamps)
            model.add(records, used)
        check(watermark, model)


def check(watermark: Watermark, model: EachRecord) -> None:
    """Compare. Records without work are passed only with those in front of them, so the position may be lower."""
    assert watermark.idle == (not model.records)
    if watermark.idle:
        assert watermark.position == model.position
        assert watermark.timestamps is None or watermark.timestamps.highest_ms == model.highest_ms
    elif watermark.position is not None:
        assert model.position is not None
        assert watermark.position <= model.position
        assert watermark.timestamps is None or watermark.timestamps.highest_ms < watermark.position * 10


def test_a_later_batch_that_is_done_first_moves_nothing() -> None:
    """The gap in front of it must be done first."""
    watermark = Watermark()
    watermark.extend(1, 10, None)
    watermark.extend(2, 20, None)

    assert not watermark.done(2)
    assert watermark.position is None
    assert watermark.done(1)
    assert watermark.position == 20


def test_a_dead_letter_between_two_parts_of_a_batch_stops_the_watermark() -> None:
    """The batch is done, but the record between its parts is not."""
    watermark = Watermark()
    watermark.extend(1, 10, None)
    watermark.extend(2, 11, None)
    watermark.extend(1, 20, None)

    watermark.done(1)

    assert watermark.position == 10
    watermark.done(2)
    assert watermark.position == 20
