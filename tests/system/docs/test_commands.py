"""Every command of the README and of docs/ is run, one after the other, in what the quick start has made."""

import signal
from collections.abc import Iterator

import pytest

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.docs.blocks import (
    DOCUMENTS,
    Command,
    blocks,
    commands,
)
from tests.system.docs.looks import missing
from tests.system.docs.site import (
    TIMEOUT_S,
    DocumentedSite,
    filled_in,
)
from tests.system.docs.ways import (
    Follow,
    Run,
    way,
)
from tests.waiting import eventually

pytestmark = pytest.mark.path

ALL = [command for document in DOCUMENTS for command in commands(document)]


def once(kind: type[Run] | type[Follow]) -> list[Command]:
    """Those that go one way; what is typed on several pages, once: where a page shows what comes, as there."""
    chosen: dict[str, Command] = {}
    for one in ALL:
        typed = filled_in(one.text)
        if isinstance(way(one), kind) and (typed not in chosen or one.shown):
            chosen[typed] = one
    return list(chosen.values())


RUN, FOLLOWED = once(Run), once(Follow)


def named(command: Command) -> str:
    """A test's name."""
    return f"{command.document}: {command.text.splitlines()[0][:60]}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[DocumentedSite]:
    """docs/quick-start.md, done from its top to its first tick."""
    folder = tmp_path_factory.mktemp("site")
    with ValkeyServer() as valkey:
        made = DocumentedSite(folder, bootstrap, valkey.url, f"docs-{folder.stat().st_ino}")
        try:
            made.play("docs/quick-start.md")
            yield made
        finally:
            made.close()


def test_the_quick_start_comes_to_its_first_tick(site: DocumentedSite) -> None:
    """Its files and commands, typed as they stand: four partitions that only heartbeats move, and the clock ticks."""
    eventually(lambda: site.time_s() > 0, within=TIMEOUT_S, what="the first tick")
    site.moves()


@pytest.mark.parametrize("command", RUN, ids=named)
def test_it_runs(site: DocumentedSite, command: Command) -> None:
    """It ends as it must, and prints what is shown."""
    run = way(command)
    assert isinstance(run, Run)
    number = str(RUN.index(command))
    environ = {name: value.format(prefix=site.prefix, number=number) for name, value in run.environ}

    done = site.run(command.text, environ)

    assert done.returncode == run.code, done.stdout + done.stderr
    assert site.named(run.says) in done.stdout
    assert missing(site.named(command.shown), done.stdout) == []


@pytest.mark.parametrize("command", FOLLOWED, ids=named)
def test_it_runs_on(site: DocumentedSite, command: Command) -> None:
    """It writes what it is for, until it is told to end."""
    follow = way(command)
    assert isinstance(follow, Follow)

    site.start(command.text, dict(follow.environ))

    eventually(
        lambda: site.said(command.text, follow.says), within=TIMEOUT_S, what=f"{command.text} to say {follow.says}"
    )
    site.end(command.text)


FOLLOWERS_OWN = """\
seen = []
close_the_hour = lambda: print("closed")
load_position = lambda: None
mark_missed = lambda at_ms: print("missed before", at_ms)

def save_position(at_s):
    seen.append(at_s)
    if len(seen) == 2:
        raise SystemExit(print("kept", *seen))

"""
"""What the README's reader has of his own."""


def example(name: str) -> str:
    """A Python example of the README."""
    (block,) = [block for block in blocks("README.md", "python") if block.name == name]
    return block.text


def test_the_readmes_follower(site: DocumentedSite) -> None:
    """It waits for a time, then gets ticks one after the other, and keeps how far it came."""
    site.write("follow.py", f"{FOLLOWERS_OWN}{example('follow')}")

    done = site.run("python follow.py")

    assert done.returncode == 0, done.stderr
    closed, *missed, kept = done.stdout.splitlines()
    first, second = (int(word) for word in kept.removeprefix("kept ").split())
    assert (closed, missed) == ("closed", [f"missed before {at * 1000}" for at in (first, second)])
    assert second == first + 1


def test_the_readmes_consumer(site: DocumentedSite) -> None:
    """In the place of the quick start's: the clock goes on, by what it reports; Ctrl-C and SIGTERM end it, cleanly."""
    site.end("python consumer.py")
    site.write("readme.py", f"handle = print\n{example('consumer')}")
    for how in (signal.SIGINT, signal.SIGTERM):
        site.start("python readme.py")
        site.moves()

        assert site.end("python readme.py", how) == 0
        assert "Traceback" not in site.output("python readme.py")


def test_the_keys_of_a_clock_may_go(site: DocumentedSite) -> None:
    """What is to be typed to delete them finds them all."""
    (typed,) = [
        command.text for command in commands("docs/operations.md") if command.text.startswith("redis-cli unlink")
    ]
    done = site.run(typed)

    assert int(done.stdout) > 5
