"""A broker is gone for good, while others answer: metadata requests go to those."""

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from clocksvc.errors import MetadataUnavailable
from clocksvc.kafka import admin
from clocksvc.kafka.topics import KafkaTopics


class Cluster:
    """A client uses the controller of the moment in which it was made, as librdkafka's admin client does."""

    def __init__(self) -> None:
        self.alive = True
        self.clients = 0

    def client(self, *_: object, **__: object) -> "AdminClient":
        """A new client."""
        self.clients += 1
        return AdminClient(self)


class AdminClient:
    """An admin client that waits for the controller that it knows."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._number = cluster, cluster.clients

    def poll(self, _: float) -> int:
        """Nothing to serve."""
        return 0

    def list_topics(self, *_: object, **__: object) -> Any:
        """The cluster, which any broker can describe."""
        return type("Cluster", (), {"cluster_id": "one", "brokers": {1: None}})

    def describe_topics(self, *_: object, **__: object) -> dict[str, "Future[Any]"]:
        """One topic, unless the controller is gone."""
        answer: Future[Any] = Future()
        if self._cluster.alive or self._number > 1:
            answer.set_result(type("Topic", (), {"topic_id": "id", "partitions": [None]}))
        else:
            answer.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        return {"t": answer}


def test_a_controller_that_is_gone_costs_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka's admin client waits for the controller it knew, though two brokers of three are well: the next
    question goes by a new client. While answers come, one client does."""
    cluster = Cluster()
    monkeypatch.setattr(admin, "AdminClient", cluster.client)
    topics = KafkaTopics({})
    topics.describe(["t"])
    topics.describe(["t"])
    assert cluster.clients == 1

    cluster.alive = False
    with pytest.raises(MetadataUnavailable):
        topics.describe(["t"])

    assert topics.describe(["t"]).cluster_id == "one"
    assert cluster.clients == 2
