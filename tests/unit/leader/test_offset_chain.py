"""The offset chain: each transaction must begin at the known end of the log. It finds stale ends, torn transactions and
foreign records. Nothing is lost or committed twice, and each error costs a new fence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clocksvc.clock.log_owner import OWNER
from clocksvc.clock.log_record import SNAPSHOT, Message
from clocksvc.clock.request import Request, RequestKind, ResultKind
from clocksvc.leader.leader import Phase
from tests.faulty.commits import CommitFault, TornTransaction
from tests.faulty.shared_log import SharedLog
from tests.unit.leader.clocks import logged_ticks, minutes, phase_of, times_of

pytestmark = pytest.mark.core


def led(count: int = 2) -> SharedLog:
    """Clocks with a leader and the ticks 12:01 and 12:02."""
    shared = SharedLog(count)
    shared.add_leader()
    shared.report(minutes(1)[0])
    shared.report(minutes(2)[0])
    return shared


def assert_complete(shared: SharedLog, *expected: int) -> None:
    """Each clock has exactly these ticks, each names the one before it, and the store has the same ticks."""
    for name in shared.names:
        ticks = logged_ticks(shared.log, name)
        assert times_of(ticks) == minutes(*expected)
        assert [tick.previous_ms for tick in ticks[1:]] == [tick.at_ms for tick in ticks[:-1]]
        assert shared.stores[name].ticks_after(0, 1_000) == ticks


@pytest.mark.parametrize("ends", [[0, 1], [1, 1], [0, 2], [1], [0, 1, 1, 1], [0, 50]], ids=str)
def test_a_stale_end_at_a_recovery(ends: list[int]) -> None:
    """A deposed partition leader answers with an end before acknowledged ticks. The first snapshot does not begin
    there, so nothing is committed, and the log is read again after another fence."""
    shared = led()
    shared.leaders.pop("leader").leave()
    shared.log.stale_ends = list(ends)
    epoch = shared.log.epoch
    shared.add_leader("next")
    shared.report(minutes(4)[0])
    shared.run(5)

    assert shared.log.stale_ends == []
    assert_complete(shared, 1, 2, 3, 4)
    # Every other answer is for the check of the installation, before a fence.
    assert shared.log.epoch - epoch == 1 + sum(end > 0 for end in ends[1::2])


def test_an_end_that_stays_stale_is_no_hot_loop() -> None:
    """The leader tries again twice a second, releases the lease after 6 s, and leads once the end is right."""
    shared = led()
    shared.leaders.pop("leader").leave()
    shared.log.stale_ends = [0, *[1] * 1_000]
    epoch = shared.log.epoch
    shared.add_leader("next")

    shared.run(6)
    assert 6 <= shared.log.epoch - epoch <= 15
    shared.run(1)
    assert phase_of(shared.leaders["next"]) is Phase.STANDBY
    shared.log.stale_ends.clear()
    shared.run(5)
    shared.report(minutes(3)[0])

    assert_complete(shared, 1, 2, 3)


@pytest.mark.parametrize("answered", [True, False], ids=["commit OK", "rejected"])
@pytest.mark.parametrize("committed", [True, False], ids=["delayed commit", "delayed abort"])
@pytest.mark.parametrize("records", range(5))
def test_a_torn_transaction(records: int, committed: bool, answered: bool) -> None:
    """A delayed request of an earlier transaction ends the first records of one with four ticks. With "commit OK", the
    client sees no error at all. Each tick is in the log once, and a new fence follows."""
    shared = led()
    shared.log.torn = [TornTransaction(records, committed, answered)]
    epoch = shared.log.epoch

    shared.report(minutes(4)[0])
    shared.run(10)

    assert shared.log.torn == []
    assert_complete(shared, 1, 2, 3, 4)
    harmless = records == 4 and committed  # the whole transaction was committed, only twice
    assert shared.log.epoch - epoch == (0 if harmless else 1)


def test_a_torn_transaction_that_commits_a_request() -> None:
    """The error of the commit says that it failed, but the control record of one clock is in the log. The request is
    done once, and its result says that it is done."""
    shared = led()
    first, second = shared.names
    now_ms = shared.stores[first].now_ms()
    assert shared.stores[first].submit_request(Request("r1", RequestKind.PAUSE, "ada", now_ms, "why", now_ms + 10_000))
    shared.log.torn = [TornTransaction(1)]

    shared.report(minutes(3)[0], [second])
    shared.run(10)

    answer = shared.stores[first].read_request_result("r1")
    assert answer is not None
    assert answer.kind is ResultKind.DONE
    assert answer.pause is not None
    assert times_of(logged_ticks(shared.log, second)) == minutes(1, 2, 3)
    written = [entry.message for entry in shared.log.committed() if b'"requests"' in (entry.message.value or b"")]
    assert len([message for message in written if message.type != SNAPSHOT]) == 1


@pytest.mark.parametrize("step", ["append", "append.sent", "append.committed"])
def test_a_record_of_another_program(step: str) -> None:
    """It is written before the transaction, within it, or after its marker: the leader publishes nothing before it has
    read the log again."""
    shared = led()
    foreign = iter([Message(b"foreign", b"hello", None)])

    def write(now: str) -> None:
        if now == step and (message := next(foreign, None)) is not None:
            shared.log.write_foreign(message)

    shared.log.at = write
    epoch = shared.log.epoch
    shared.report(minutes(4)[0])
    shared.run(5)

    assert next(foreign, None) is None
    assert_complete(shared, 1, 2, 3, 4)
    assert shared.log.epoch - epoch == 1


def test_a_new_fence_follows_each_lease() -> None:
    """Also if the same process acquires the lease again and its writer still works."""
    shared = led()
    epoch = shared.log.epoch
    for _ in range(3):
        shared.leaders["leader"].leave()
        shared.settle()

    assert shared.log.epoch - epoch == 3


def test_the_first_transaction_of_a_term_has_no_tick() -> None:
    """A delayed request of an earlier term could end it, and ticks are committed with the next one only."""
    shared = led()
    shared.send(minutes(3)[0])
    shared.leaders["leader"].leave()
    begin = shared.log.end
    shared.settle()
    shared.report(minutes(3)[0])

    types = [None if entry.message is None else entry.message.type for entry in shared.log.entries]
    first = types[begin : types.index(None, begin)]
    assert first == [OWNER, SNAPSHOT, SNAPSHOT, "snapshot-end"]
    assert_complete(shared, 1, 2, 3)


FAULTS = st.one_of(
    st.builds(TornTransaction, st.integers(0, 5), st.booleans(), st.booleans()),
    st.sampled_from(CommitFault),
    st.integers(0, 3),  # stale ends
    st.sampled_from(["foreign", "wipe", "fence", "successor", "break"]),
)


@settings(max_examples=60)
@given(st.lists(st.tuples(FAULTS, st.integers(0, 2)), max_size=8))
def test_any_faults_lose_nothing(faults: list[tuple[object, int]]) -> None:
    """After any faults, with ticks between them, each boundary is in the log once, ascending, in a complete chain, and
    the store has the same ticks."""
    shared, minute = led(), 2
    for fault, ticks in faults:
        match fault:
            case TornTransaction():
                shared.log.torn.append(fault)
            case CommitFault():
                shared.log.commit_faults.append(fault)
            case int():
                shared.log.stale_ends.append(fault)
            case "foreign":
                shared.log.write_foreign(Message(b"foreign", b"hello", None))
            case "wipe":
                shared.store_server.wipe()
            case "fence":
                shared.log.fence()
            case "break":
                shared.store_server.broken = True
                shared.run(1)
                shared.store_server.broken = False
            case _:
                shared.leaders.popitem()
                shared.add_leader(f"leader-{len(shared.log.entries)}")
        minute += ticks
        shared.report(minutes(minute)[0])
    shared.log.torn, shared.log.commit_faults, shared.log.stale_ends = [], [], []
    shared.run(30)
    shared.report(minutes(minute + 1)[0])
    shared.run(6)

    assert_complete(shared, *range(1, minute + 2))
