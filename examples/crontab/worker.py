"""Runs the commands of an imported crontab when they are due: `python worker.py demo-due --task cron.run`

A command is run at least once for each due time: if this process dies while a command runs, another one runs it again,
with the same CLOCKSVC_ID in its environment. Start several processes to run several commands at the same time; the
runs of one line stay in order.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing

from confluent_kafka import Consumer


def run(payload, headers):
    """Run a command as cron does, with its settings and its standard input. Returns its exit code."""
    environ = {
        **os.environ,
        **payload.get("environment", {}),
        "CLOCKSVC_ID": headers["clocksvc-id"],
        "CLOCKSVC_DUE": headers["clocksvc-due"],
    }
    shell = environ.get("SHELL", "/bin/sh")
    stdin = payload.get("stdin", "")
    return subprocess.run([shell, "-c", payload["command"]], env=environ, input=stdin, text=True).returncode


def handle(message, task):
    """Run the command of a due record. Other records are passed over."""
    headers = {name: value.decode() for name, value in message.headers() or ()}
    if "clocksvc-type" in headers or headers.get("clocksvc-task") != task:
        return
    code = run(json.loads(message.value()), headers)
    print(headers["clocksvc-due"], headers["clocksvc-schedule"], "exit code", code, flush=True)


def main():
    """Consume until SIGTERM or Ctrl-C. The command that runs at that moment is awaited."""
    parser = argparse.ArgumentParser(description="run the commands of an imported crontab when they are due")
    parser.add_argument("topic", help="the topic of due records, such as demo-due")
    parser.add_argument("--task", default="cron.run")
    parser.add_argument("--group", default="cron-workers")
    parser.add_argument("--bootstrap", default="localhost:9092")
    args = parser.parse_args()
    stopping = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stopping.set())
    settings = {
        "bootstrap.servers": args.bootstrap,
        "group.id": args.group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "max.poll.interval.ms": 3_600_000,  # the longest time that a command may take
    }
    with closing(Consumer(settings)) as consumer:
        consumer.subscribe([args.topic])
        while not stopping.is_set():
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error() is not None:
                print("consumer error:", message.error(), file=sys.stderr, flush=True)
                continue
            handle(message, args.task)
            consumer.commit(message, asynchronous=False)


if __name__ == "__main__":
    main()
