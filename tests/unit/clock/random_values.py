"""Random ticks, states and records for property tests."""

import calendar

from hypothesis import strategies as st

from clocksvc.clock.log_record import ClockState, Record
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.tick import Tick

_END_OF_9999 = calendar.timegm((9999, 12, 31, 23, 59, 59))

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
TOPICS = st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True)
PARTITIONS = st.builds(Partition, TOPICS, st.integers(0, 10_000))
MOMENTS = st.integers(0, _END_OF_9999 * 1000 + 999)
BOUNDARIES = st.integers(0, _END_OF_9999).map(lambda seconds: seconds * 1000)

TICKS = st.builds(
    Tick,
    clock=NAMES,
    at_ms=BOUNDARIES,
    previous_ms=st.none() | BOUNDARIES,
    interval_ms=st.integers(1, 86_400).map(lambda seconds: seconds * 1000),
    emitted_at_ms=MOMENTS,
    excluded=st.lists(PARTITIONS, max_size=3).map(tuple),
)
STATES = st.builds(
    ClockState,
    last_tick_ms=st.none() | BOUNDARIES,
    last_emitted_ms=st.none() | MOMENTS,
    exclusions=st.lists(st.builds(Exclusion, PARTITIONS, st.text(), MOMENTS, st.text()), max_size=3).map(tuple),
    pause=st.none() | st.builds(Pause, st.text(), MOMENTS, st.text()),
    group=st.text(),
    topics=st.dictionaries(TOPICS, st.builds(TopicMetadata, st.text(), st.integers(0, 10_000)), max_size=3),
)
GRANTED = st.lists(st.fixed_dictionaries({"kind": st.text(), "by": st.text(), "reason": st.text()}), max_size=2)
RECORDS = st.builds(
    lambda clock, state, tick, requests: (
        Record(clock, state, None, tuple(requests)) if tick is None else Record(tick.clock, state.after(tick), tick)
    ),
    NAMES,
    STATES,
    st.none() | TICKS,
    GRANTED,
)
