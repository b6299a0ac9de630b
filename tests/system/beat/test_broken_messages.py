"""Bytes in the service's Celery queue that are not messages do not end the worker."""

import json
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from celery import Celery

from clocksvc.dev.valkey_server import ValkeyServer
from tests.process import Process, module
from tests.waiting import eventually

pytestmark = pytest.mark.path


def valid_message(valkey: ValkeyServer) -> dict[str, Any]:
    """A message as Celery sends it: a heartbeat of a clock that the worker does not know, which it only logs."""
    with Celery(broker=valkey.url, set_as_current=False) as app, redis.Redis.from_url(valkey.url) as server:
        app.send_task("clocksvc.heartbeat", args=("stranger", 0), queue="sample")
        return dict(json.loads(server.rpop("sample")))


def broken_elements(valid: dict[str, Any]) -> list[bytes]:
    """Not JSON, no envelope, and messages whose parts have other types."""
    properties, headers = valid["properties"], valid["headers"]
    envelopes: list[dict[str, Any]] = [
        {"a": 1},
        {**valid, "properties": None},
        {**valid, "properties": {}},
        {**valid, "properties": {**properties, "delivery_tag": []}},
        {**valid, "properties": {**properties, "delivery_info": {}}},
        {**valid, "properties": {**properties, "body_encoding": "base64"}, "body": "?"},
        {**valid, "headers": []},
        {**valid, "headers": {**headers, "task": []}},
        {**valid, "headers": {"task": "clocksvc.heartbeat"}},
        {**valid, "headers": {**headers, "eta": "yesterday"}},
        {**valid, "content-type": "application/x-python-serialize"},
        {**valid, "body": "e30="},
        {**valid, "body": 7},
        {**valid, "__type__": "decimal", "__value__": "x"},
    ]
    for number, envelope in enumerate(envelopes):  # a tag of its own, so that it must be acknowledged itself
        own = envelope.get("properties") or {}
        if isinstance(own.get("delivery_tag"), str):
            envelope["properties"] = {**own, "delivery_tag": f"broken-{number}"}
    texts = ["\x1b[31mnot JSON" + "x" * 1_000_000, "[" * 100_000, "[]", "null", '"text"', "5"]
    return [b"\xff\xfe", *map(str.encode, texts), *(json.dumps(one).encode() for one in envelopes)]


def test_a_broken_element_does_not_end_the_worker(tmp_path: Path) -> None:
    """Each is dropped with a short line in the log, and the message after it is received."""
    config = tmp_path / "clocksvc.yaml"
    with ValkeyServer() as valkey, redis.Redis.from_url(valkey.url) as server:
        clocks = {"checkins": {"topics": ["t"], "group": "g"}}
        config.write_text(yaml.safe_dump({"redis": {"url": valkey.url}, "clocks": clocks}))
        valid = valid_message(valkey)
        elements = broken_elements(valid)
        for element in elements:
            server.lpush("clocksvc", element, json.dumps(valid).encode())
        command = module("celery", "-A", "clocksvc", "worker", "--pool", "solo", "-l", "WARNING")
        worker = Process(command, tmp_path / "worker.log", environ={"CLOCKSVC_CONFIG": str(config)})
        try:
            eventually(
                lambda: (
                    worker.output().count("heartbeat lost: no clock 'stranger'") >= len(elements) or worker.exit_code
                ),
                within=60,
                what="every valid message to be received",
            )
            worker.check_alive()
            eventually(
                lambda: [server.hlen("unacked"), server.llen("clocksvc")] == [0, 0],
                within=30,
                what="all messages to be acknowledged",
            )
            assert worker.end() == 0
        finally:
            worker.kill()

    lines = [line for line in worker.output().splitlines() if "was dropped, because it is not a Celery message" in line]
    assert 0 < len(lines) < len(elements)
    assert max(map(len, lines)) < 1_000
    assert "\x1b" not in worker.output()
