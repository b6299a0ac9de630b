"""A BufferedConsumer with the group protocol of KIP-848: `make soak`. Brokers answer its members every 5 s."""

import pytest

from tests.unit.client.consumer.test_buffered_consumer import check_rebalance

pytestmark = pytest.mark.servers


def test_a_rebalance_loses_and_repeats_nothing(bootstrap: str, key_prefix: str) -> None:
    """The broker computes the assignment, and partitions move one by one."""
    check_rebalance(bootstrap, key_prefix, {"group.protocol": "consumer"}, within=60)
