"""docs/consumers.md: the example of a buffer on Arroyo."""

from typing import Any

import pytest
from arroyo.dlq import DlqPolicy, NoopDlqProducer

from tests.system.docs.blocks import blocks
from tests.unit.client.arroyo.scripted_pipeline import Pipeline
from tests.waiting import eventually

pytestmark = pytest.mark.core


def test_the_example_of_a_buffer(capsys: pytest.CaptureFixture[str]) -> None:
    """Messages are flushed, and the step after the buffer gets their items. An invalid one goes to the queue."""
    (block,) = [block for block in blocks("docs/consumers.md", "python") if block.name == "buffered"]
    names: dict[str, Any] = {}
    exec(compile(block.text, "buffered", "exec"), names)
    factory = names["Factory"]()
    pipeline = Pipeline(lambda commit: factory.create_with_partitions(commit, {}), dlq=DlqPolicy(NoopDlqProducer()))
    pipeline.run(b"1", b"not JSON", b"2")
    pipeline.consumer.revoke(0, 1)

    def committed() -> bool:
        return pipeline.consumer.committed == {0: 3}

    eventually(committed, what="the commit of all messages")
    printed = capsys.readouterr().out
    assert "handled [1, 2]" in printed
    assert "2 items are flushed" in printed
    factory.shutdown()
