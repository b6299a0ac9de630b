"""Every command of the README and of docs/ is run, one after the other, in the quick start's installation."""

import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from clocksvc.clock.time_format import parse_timestamp
from tests.repository import ROOT
from tests.system.docs.blocks import DOCUMENTS, Command, blocks, commands
from tests.system.docs.documented_installation import TIMEOUT_S, DocumentedInstallation, filled_in, quick_start
from tests.system.docs.handling import Follow, Run, handling
from tests.system.docs.output_comparison import missing
from tests.system.installation import wall_ms
from tests.system.producers import ProducerThread
from tests.waiting import eventually

pytestmark = pytest.mark.path

ALL = [command for document in DOCUMENTS for command in commands(document)]


def once(kind: type[Run] | type[Follow]) -> list[Command]:
    """The commands with one kind of handling. One that is on several pages once: from a page that shows its output."""
    chosen: dict[str, Command] = {}
    for one in ALL:
        typed = filled_in(one.text)
        if isinstance(handling(one), kind) and (typed not in chosen or one.shown):
            chosen[typed] = one
    return list(chosen.values())


RUN, FOLLOWED = once(Run), once(Follow)


def named(command: Command) -> str:
    """The name of a command's test."""
    return f"{command.document}: {command.text.splitlines()[0][:60]}"


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[DocumentedInstallation]:
    """docs/quick-start.md from the top to the first tick, and the scheduler of docs/schedules.md with its crontab."""
    environ = {"CLOCKSVC_CLOCKS__CHECKINS__SCHEDULES__PARTITIONS": "2", "CLOCKSVC_SCHEDULER__PORT": "0"}
    with quick_start(tmp_path_factory.mktemp("documented"), bootstrap, environ) as made:
        made.start("clocksvc scheduler")
        made.write("shop.crontab", example("shop.crontab", "docs/schedules.md", ""))
        yield made


def test_the_quick_start_comes_to_its_first_tick(documented: DocumentedInstallation) -> None:
    """With its files and commands as they are: only heartbeats advance the four partitions, and the clock ticks."""
    eventually(lambda: documented.time_s() > 0, within=TIMEOUT_S, what="the first tick")
    documented.until_ticking()


@pytest.mark.parametrize("command", RUN, ids=named)
def test_it_runs(documented: DocumentedInstallation, command: Command) -> None:
    """The exit code is right, and the output is as shown."""
    run = handling(command)
    assert isinstance(run, Run)
    number = str(RUN.index(command))
    environ = {name: value.format(prefix=documented.prefix, number=number) for name, value in run.environ}

    done = documented.run(command.text, environ)

    assert done.returncode == run.code, done.stdout + done.stderr
    assert documented.named(run.says) in done.stdout
    assert missing(documented.named(command.shown), done.stdout) == []


@pytest.mark.parametrize("command", FOLLOWED, ids=named)
def test_it_keeps_running(documented: DocumentedInstallation, command: Command) -> None:
    """It writes what it should, until it is ended."""
    follow = handling(command)
    assert isinstance(follow, Follow)

    documented.start(command.text, dict(follow.environ))

    eventually(
        lambda: documented.wrote(command.text, follow.says),
        within=TIMEOUT_S,
        what=f"{command.text} to write {follow.says}",
    )
    documented.end(command.text)


FOLLOWER_PREAMBLE = """\
seen = []
close_the_hour = lambda: print("closed")
load_position = lambda: None
mark_missed = lambda at_ms: print("missed before", at_ms)

def save_position(at_s):
    seen.append(at_s)
    if len(seen) == 2:
        raise SystemExit(print("kept", *seen))

"""
"""Names that the README's example leaves to its reader."""


def example(name: str, document: str = "README.md", language: str = "python") -> str:
    """An example of a document."""
    (block,) = [block for block in blocks(document, language) if block.name == name]
    return block.text


@pytest.mark.parametrize("name", ["follow", "follow-aio"])
def test_the_readmes_follower(documented: DocumentedInstallation, name: str) -> None:
    """It waits for a time, then gets ticks one after the other, and saves its position. For asyncio, too."""
    run = "import asyncio\nasyncio.run(follow())\n" if name == "follow-aio" else ""
    documented.write("follow.py", f"{FOLLOWER_PREAMBLE}{example(name)}{run}")

    done = documented.run("python follow.py")

    assert done.returncode == 0, done.stderr
    closed, *missed, kept = done.stdout.splitlines()
    first, second = (int(word) for word in kept.removeprefix("kept ").split())
    assert (closed, missed) == ("closed", [f"missed before {at * 1000}" for at in (first, second)])
    assert second == first + 1


def test_the_guides_programs_write_schedules(documented: DocumentedInstallation) -> None:
    """docs/schedules.md and the README: by the service and in Kafka. Afterwards, no schedule of the guide is there."""
    documented.write("readme_schedules.py", example("schedules"))
    documented.write("own.py", example("own.py", "docs/schedules.md"))
    documented.write("direct.py", example("direct", "docs/schedules.md"))
    for program in ("readme_schedules.py", "direct.py", "own.py"):
        done = documented.run(f"python {program}")
        assert done.returncode == 0, done.stderr

    assert done.stdout.splitlines() == ["1000 written", "1002 schedules of acme"]
    assert documented.run("clocksvc schedules list demo --prefix acme:").stdout == (
        "checkins: no schedules with the prefix acme:\n"
    )


def test_workers_get_what_is_due(documented: DocumentedInstallation) -> None:
    """docs/schedules.md: each due time comes once. A worker that gets all records again keeps one row for each."""
    put = 'clocksvc schedules put demo bill:1 --interval 1s --task billing.cut --payload \'{"customer": "acme"}\''
    assert documented.run(put).returncode == 0
    documented.write("worker.py", example("worker.py", "docs/schedules.md"))
    documented.write("once.py", example("once", "docs/schedules.md"))
    for program in ("python worker.py", "python once.py"):
        documented.start(program)

    def due() -> list[str]:
        lines = documented.output("python worker.py").splitlines()
        return [line.split()[0] for line in lines if ' bill:1 billing.cut b\'{"customer":"acme"}\'' in line]

    def bills() -> list[str]:
        with closing(sqlite3.connect(documented.folder / "bills.sqlite")) as database:
            try:
                return [due for (due,) in database.execute("SELECT due FROM bills WHERE customer = 'acme'")]
            except sqlite3.OperationalError:
                return []

    eventually(lambda: len(due()) >= 3, within=TIMEOUT_S, what="three due records")
    eventually(lambda: len(bills()) >= 3, within=TIMEOUT_S, what="three bills")
    documented.end("python once.py", signal.SIGKILL)
    before = len(bills())
    documented.write("again.py", example("once", "docs/schedules.md").replace('"billing"', '"another"'))
    documented.start("python again.py")
    eventually(lambda: len(bills()) >= before + 3, within=TIMEOUT_S, what="three more bills")
    documented.end("python worker.py", signal.SIGKILL)
    documented.end("python again.py", signal.SIGKILL)
    assert documented.run("clocksvc schedules delete demo bill:1").returncode == 0

    for times in (due(), sorted(bills())):
        seconds = [parse_timestamp("due", time) // 1000 for time in times]
        assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))


def test_the_commands_of_a_crontab_run(documented: DocumentedInstallation) -> None:
    """examples/crontab/worker.py runs them with their settings and their input, and SIGTERM ends it."""
    folder = ROOT / "examples" / "crontab"
    assert [line for line in (folder / "shop.crontab").read_text().splitlines() if not line.startswith("#")] == [
        line for line in example("shop.crontab", "docs/schedules.md", "").splitlines() if not line.startswith("#")
    ]
    documented.write("cron_worker.py", (folder / "worker.py").read_text(encoding="utf-8"))
    payload = {"command": "echo $CLOCKSVC_DUE $NAME $(cat) >> ran.txt", "stdin": "in", "environment": {"NAME": "shop"}}
    put = f"clocksvc schedules put demo cron:1 --interval 1s --task cron.run --payload '{json.dumps(payload)}'"
    assert documented.run(put).returncode == 0
    ran, worker = documented.folder / "ran.txt", "python cron_worker.py demo-due --task cron.run"

    documented.start(worker)
    eventually(lambda: ran.exists() and ran.read_text().count(" shop in\n") >= 2, within=TIMEOUT_S, what="two runs")

    assert documented.end(worker) == 0
    assert documented.run("clocksvc schedules delete demo cron:1").returncode == 0
    assert " cron:1 exit code 0" in documented.output(worker)


@pytest.fixture
def without_consumer(documented: DocumentedInstallation) -> DocumentedInstallation:
    """The installation without the quick start's consumer. A test starts its own one in the same group."""
    if documented.runs("python consumer.py"):
        documented.end("python consumer.py")
    return documented


def test_the_readmes_consumer(without_consumer: DocumentedInstallation) -> None:
    """Instead of the quick start's: its reports advance the clock; Ctrl-C and SIGTERM end it with exit code 0."""
    documented = without_consumer
    documented.write("readme.py", f"handle = print\n{example('consumer')}")
    for how in (signal.SIGINT, signal.SIGTERM):
        documented.start("python readme.py")
        documented.until_ticking()

        assert documented.end("python readme.py", how) == 0
        assert "Traceback" not in documented.output("python readme.py")


def test_the_aiokafka_consumer(without_consumer: DocumentedInstallation) -> None:
    """docs/consumers.md: its reports advance the clock, its heartbeats are recognized, and SIGTERM ends it."""
    documented = without_consumer
    (block,) = [block for block in blocks("docs/consumers.md", "python") if block.name == "aio_consumer.py"]
    documented.write(block.name, block.text)
    documented.start("python aio_consumer.py")
    documented.until_ticking()

    assert documented.end("python aio_consumer.py") == 0
    handled = documented.output("python aio_consumer.py").splitlines()
    assert set(handled) == {"handled 0"}


class Burst(ProducerThread):
    """Writes up to 3,000 records a second, more than the README's consumer commits, into the partitions of a topic."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        super().__init__(bootstrap, topic, 0.01)
        self._partitions = partitions
        self._thread.start()

    def _round(self, number: int) -> None:
        for each in range(30):
            self._write(each % self._partitions, wall_ms())


def test_consumers_survive_a_cooperative_rebalance(without_consumer: DocumentedInstallation, bootstrap: str) -> None:
    """While the README's consumer commits record by record, the batch example joins its group: a commit fails, both
    continue, and the clock ticks."""
    documented = without_consumer
    cooperative = '"enable.auto.commit": False, "partition.assignment.strategy": "cooperative-sticky",'
    text = example("consumer").replace('"enable.auto.commit": False,', cooperative)
    assert cooperative in text
    documented.write("one.py", f"handle = lambda message: print('handled')\n{text}")
    documented.write("batches.py", (ROOT / "examples" / "batch_consumer.py").read_text(encoding="utf-8"))
    one, batches = "python one.py", "python batches.py"
    producer = Burst(bootstrap, documented.names["ingest-checkins"], 4)

    def joined() -> bool:
        """Whether a commit of the first consumer failed. Otherwise the second one joins again."""
        if not documented.wrote(one, "Commit failed") and documented.wrote(batches, "handled"):
            documented.end(batches)
            documented.start(batches)
        return documented.wrote(one, "Commit failed")

    try:
        documented.start(one)
        eventually(lambda: documented.wrote(one, "handled"), within=TIMEOUT_S, what="the first consumer to work")
        documented.start(batches)
        eventually(joined, within=TIMEOUT_S, what="a commit to fail")
        handled = documented.output(one).count("handled")
        eventually(lambda: documented.output(one).count("handled") > handled, within=TIMEOUT_S, what="it to continue")
        eventually(lambda: documented.wrote(batches, "handled"), within=TIMEOUT_S, what="the second consumer to work")
    finally:
        producer.close()

    assert documented.end(one) == 0
    documented.until_ticking()
    assert documented.end(batches) == 0
    assert "Traceback" not in documented.output(one) + documented.output(batches)


def test_the_keys_of_a_clock_may_go(documented: DocumentedInstallation) -> None:
    """The command that deletes them finds them all."""
    (typed,) = [
        command.text for command in commands("docs/operations.md") if command.text.startswith("redis-cli unlink")
    ]
    done = documented.run(typed)

    assert int(done.stdout) > 5
