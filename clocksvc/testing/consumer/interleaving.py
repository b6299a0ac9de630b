"""The named classes of interleavings that an exploration counts."""

from enum import StrEnum


class Interleaving(StrEnum):
    """A situation in which a consumer must keep its promises. `ConsumerRun.explore` counts how often each one came."""

    SECOND_FLUSH_FIRST = "second flush finishes before the first"
    GAP_IN_FRONT = "flush finishes while earlier records of its partition are not flushed"
    FLUSH_RETRIED = "flush fails, and the same records are flushed later"
    EFFECT_THEN_FAILURE = "flush fails after its effect"
    TWO_FLUSHES_FAIL = "two flushes fail in a row"
    FLUSH_AFTER_REVOKE = "flush finishes after its partition was revoked"
    FLUSH_AFTER_LOSS = "flush finishes after its partition was lost"
    FLUSH_AFTER_REASSIGNMENT = "flush finishes after its partition was assigned again"
    FAILURE_AFTER_REMOVAL = "flush fails after its partition was revoked or lost"
    FLUSH_PARTLY_REMOVED = "flush finishes with records of kept and of removed partitions"

    CUT_BY_COUNT = "batch cut by count"
    CUT_BY_BYTES = "batch cut by bytes"
    CUT_BY_AGE = "batch cut by age"
    AGE_WHILE_PAUSED = "batch cut by age while a partition is paused"
    AGE_WITHOUT_SLOT = "batch too old while all flushes are busy"

    COMMIT_FAILS = "commit fails, and a later one succeeds"
    COMMIT_REJECTED = "commit rejected because of a rebalance"
    COMMIT_UNANSWERED = "commit is never answered"
    COMMIT_OVERTAKEN = "flush finishes while a commit is not answered"
    ACKNOWLEDGED_AFTER_REMOVAL = "commit acknowledged after its partition was revoked or lost"
    ACKNOWLEDGED_AFTER_REASSIGNMENT = "commit acknowledged after its partition was assigned again"
    COMMIT_OVER_GAP = "commit over offsets without records"
    COMMIT_WITHOUT_FLUSH = "commit of records that need no flush"

    DEAD_LETTER_FIRST = "dead letter acknowledged before the records in front of it are flushed"
    DEAD_LETTER_LAST = "records behind a dead letter flushed before it is acknowledged"
    DEAD_LETTER_FAILS = "dead letter fails, and is sent again"
    DEAD_LETTER_AFTER_REMOVAL = "dead letter acknowledged after its partition was revoked or lost"
    NO_FLUSH_NEEDED = "record that needs no flush, behind one that is not flushed"

    PROCESSED_AFTER_REMOVAL = "record processed after its partition was revoked or lost"
    PROCESSED_AFTER_REASSIGNMENT = "record processed after its partition was assigned again"
    DRAIN_WHILE_PROCESSING = "drain while records are being processed"
    CRASH_WHILE_PROCESSING = "crash while records are being processed"

    REVOKED_WITH_BUFFER = "partition revoked with records in the buffer"
    REVOKED_WITH_FLUSH = "partition revoked with a flush in flight"
    REVOKED_WITH_COMMIT = "partition revoked with a commit in flight"
    LOST_WITH_BUFFER = "partition lost with records in the buffer"
    LOST_WITH_FLUSH = "partition lost with a flush in flight"
    LOST_WITH_COMMIT = "partition lost with a commit in flight"
    OTHERS_GO_ON = "partition revoked or lost while another one goes on"
    DELIVERED_AGAIN = "records delivered again after a new assignment"
    ANOTHER_MEMBER = "another member committed records meanwhile"

    PAUSED = "partition paused because the buffer is full"
    PAUSED_AHEAD = "partition paused because it runs ahead of the clock"
    FETCHED_BEFORE_PAUSE = "record of a paused partition, because it was fetched before"
    REMOVED_WHILE_PAUSED = "partition revoked or lost while it is paused"
    ASSIGNED_WHILE_PAUSED = "partition assigned while another one is paused"

    CRASH_WITH_BUFFER = "crash with records in the buffer"
    CRASH_BEFORE_EFFECT = "crash with a flush that has no effect yet"
    CRASH_AFTER_EFFECT = "crash between the effect of a flush and its result"
    CRASH_BEFORE_COMMIT = "crash between flush and commit"
    CRASH_BEFORE_ACKNOWLEDGEMENT = "crash between a commit and its answer"
    CRASH_WITH_DEAD_LETTER = "crash with a dead letter that is not acknowledged"

    CRASH_IN_DRAIN = "crash during a drain"
    CONSUMER_FAILS = "consumer ends with an error, and another process continues"

    DRAIN_WITH_FLUSH = "drain with a flush in flight"
    DRAIN_WITH_FAILURE = "flush fails during a drain"
    DRAIN_WITH_REBALANCE = "rebalance during a drain"
    DRAIN_TOO_LATE = "drain reaches its deadline"

    LATE_TIMESTAMP = "record with an earlier timestamp than one before it"
