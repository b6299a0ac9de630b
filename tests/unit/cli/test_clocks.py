"""`clocksvc clocks --from-groups`: from names of groups to a configuration."""

import re
from pathlib import Path

import pytest
import yaml
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from clocksvc.cli.clocks import clock_name, group_clocks
from clocksvc.cli.main import main
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import check_clock_name
from clocksvc.kafka.cluster_facts import GroupFacts
from clocksvc.settings import load
from tests.unit.cli.conftest import Workspace
from tests.waiting import eventually


def facts(*topics: str) -> GroupFacts:
    """A group that has committed an offset in each topic."""
    return GroupFacts("EMPTY", committed={Partition(topic, 0): 1 for topic in topics})


@pytest.mark.core
@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("ingest-orders", "ingest-orders"),
        ("Ingest.Orders_v2", "ingest-orders-v2"),
        ("--x--", "x"),
        ("Ü", "group"),
        ("a" * 62 + "-b", "a" * 62),
        ("a" * 100, "a" * 63),
    ],
)
def test_groups_give_valid_names(group: str, name: str) -> None:
    """Names of groups are any text; those of clocks are not."""
    check_clock_name("clocks", clock_name(group, ()))
    assert clock_name(group, ()) == name


@pytest.mark.core
def test_names_are_unique() -> None:
    """Also if they are cut."""
    taken: set[str] = set()
    for group in ("a.b", "a_b", "a-b", "c" * 63, "c" * 64, "c" * 62 + "."):
        name = clock_name(group, taken)
        check_clock_name("clocks", name)
        assert name not in taken
        taken.add(name)
    assert taken == {"a-b", "a-b-2", "a-b-3", "c" * 63, "c" * 61 + "-2", "c" * 62}


@pytest.mark.core
def test_what_is_left_out_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Deleted topics, internal topics, and groups that have committed nothing."""
    groups = {
        "with-deleted": facts("orders", "deleted"),
        "internal": facts("__consumer_offsets"),
        "nothing": facts(),
        "payments": facts("payments", "refunds"),
    }
    found = group_clocks(groups, {"orders", "payments", "refunds", "__consumer_offsets"}, {"payments": "payments"})

    assert found == {
        "payments-2": {"topics": ["payments", "refunds"], "group": "payments", "source": "committed"},
        "with-deleted": {"topics": ["orders"], "group": "with-deleted", "source": "committed"},
    }
    assert capsys.readouterr().err.splitlines() == [
        "group internal is left out: it has committed no offsets for an existing topic",
        "group nothing is left out: it has committed no offsets for an existing topic",
        "group payments has a clock in the configuration already: payments",
        "group with-deleted: without deleted, which Kafka does not list any more",
    ]


@pytest.mark.core
def test_a_valid_name_is_kept() -> None:
    """Although another group comes first in order, whose name is changed to the same one."""
    groups = {name: facts("orders") for name in ("Payments.Ledger_v2", "payments-ledger-v2")}
    clocks = group_clocks(groups, {"orders"}, {})
    assert {name: clock["group"] for name, clock in clocks.items()} == {
        "payments-ledger-v2": "payments-ledger-v2",
        "payments-ledger-v2-2": "Payments.Ledger_v2",
    }


@pytest.mark.servers
def test_the_configuration_can_be_loaded_as_it_is(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the Kafka of a configuration, or with an address."""
    workspace.create_topic(partitions=1)
    admin = AdminClient({"bootstrap.servers": workspace.bootstrap, "log_level": 0})

    def commit(group: str) -> bool:
        offsets = ConsumerGroupTopicPartitions(group, [TopicPartition(workspace.topic, 0, 0)])
        answered = admin.alter_consumer_group_offsets([offsets])[group].result()
        return answered.topic_partitions[0].error is None

    for group in (f"{workspace.prefix}.One", f"{workspace.prefix}.Two"):
        eventually(lambda group=group: commit(group), what="the group")  # type: ignore[misc]
    expression = re.escape(workspace.prefix) + r"\.O.*"
    assert main(["clocks", "--from-groups", expression, *workspace.write()]) == 0
    printed = capsys.readouterr().out
    assert main(["clocks", "--from-groups", expression, "--kafka", workspace.bootstrap]) == 0
    assert capsys.readouterr().out == printed

    written = yaml.safe_load(printed)
    clock = {"topics": [workspace.topic], "group": f"{workspace.prefix}.One", "source": "committed"}
    assert written == {"clocks": {f"{workspace.prefix}-one": clock}}
    config = tmp_path / "observed.yaml"
    config.write_text(yaml.safe_dump({key: workspace.settings[key] for key in ("redis", "kafka")}) + printed)
    (spec,) = load(str(config), {}).clock_specs().values()
    assert (spec.topics, spec.group) == ((workspace.topic,), f"{workspace.prefix}.One")


@pytest.mark.servers
def test_an_expression_without_a_match(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The error has the groups that there are. An expression that is not valid is an error, too."""
    workspace.create_topic(partitions=1)
    assert main(["clocks", "--from-groups", "no-such-group", *workspace.write()]) == 1
    assert "no group matches 'no-such-group'; this user may describe " in capsys.readouterr().err
    assert main(["clocks", "--from-groups", "(", "--kafka", "localhost:1"]) == 1
    assert "wanted a regular expression" in capsys.readouterr().err
