"""The cache of Kafka's jars is complete or absent, filled once, and has no jar whose SHA-256 is not pinned."""

import hashlib
import logging
import re
from pathlib import Path

import pytest

from clocksvc.dev.child_process import DevServerError
from clocksvc.dev.kafka_jars import KAFKA, Fetch, KafkaRelease, default_cache_dir, kafka_jars
from clocksvc.dev.kafka_server import KafkaServer

CONTENT = {"a.jar": "the first jar", "b.jar": "the second jar"}


@pytest.fixture
def release(tmp_path: Path) -> KafkaRelease:
    """A Kafka of two jars."""
    pins = tmp_path / "kafka-1.2.3.sha256"
    pins.write_text("".join(f"{_digest(text)}  {name}\n" for name, text in CONTENT.items()))
    return KafkaRelease("1.2.3", ("org.example:binding:1",), pins)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def two_jars(release: KafkaRelease, into: Path) -> list[Path]:
    """A fetch that finds the two jars in separate directories, as in a Maven repository."""
    jars = [into / name.removesuffix(".jar") / name for name in CONTENT]
    for jar in jars:
        jar.parent.mkdir(parents=True)
        jar.write_text(CONTENT[jar.name])
    return jars


def changed_jar(release: KafkaRelease, into: Path) -> list[Path]:
    """A fetch from a mirror that changed one jar."""
    jars = two_jars(release, into)
    jars[1].write_text("something else")
    return jars


def another_jar(release: KafkaRelease, into: Path) -> list[Path]:
    """A fetch from a mirror that added a jar."""
    (into / "c.jar").parent.mkdir()
    (into / "c.jar").write_text("not Kafka's")
    return [*two_jars(release, into), into / "c.jar"]


def one_jar(release: KafkaRelease, into: Path) -> list[Path]:
    """A fetch that resolves too few jars."""
    return two_jars(release, into)[:1]


def no_network(release: KafkaRelease, into: Path) -> list[Path]:
    """A fetch that fails halfway."""
    into.mkdir(parents=True)
    (into / "half.jar").write_text("ha")
    raise ConnectionError("connection refused by the repository")


def test_the_second_start_does_not_fetch(tmp_path: Path, release: KafkaRelease) -> None:
    """A cached version is used without the network."""
    jars = kafka_jars(tmp_path, release, two_jars)
    assert {path.name: path.read_text() for path in jars.iterdir()} == CONTENT
    assert kafka_jars(tmp_path, release, no_network) == jars


def test_a_failed_fetch_leaves_nothing_behind(tmp_path: Path, release: KafkaRelease) -> None:
    """An incomplete download is never used, and the next attempt starts clean."""
    with pytest.raises(DevServerError):
        kafka_jars(tmp_path, release, no_network)
    assert list(tmp_path.rglob("*.jar")) == []
    assert (kafka_jars(tmp_path, release, two_jars) / "a.jar").read_text() == CONTENT["a.jar"]


@pytest.mark.parametrize(
    ("fetch", "difference"),
    [
        (changed_jar, f"b.jar has the SHA-256 {_digest('something else')}, pinned is {_digest(CONTENT['b.jar'])}"),
        (another_jar, "c.jar is not one of the pinned jars"),
        (one_jar, "b.jar is missing"),
    ],
)
def test_a_download_that_is_not_pinned_is_refused(
    tmp_path: Path, release: KafkaRelease, fetch: Fetch, difference: str
) -> None:
    """The error names the jar, both hashes and the file with the pins, and nothing is kept."""
    with pytest.raises(DevServerError) as caught:
        kafka_jars(tmp_path, release, fetch)
    assert difference in str(caught.value)
    assert str(release.pins) in str(caught.value)
    assert list(tmp_path.rglob("*.jar")) == []


def test_a_cached_jar_that_was_changed_is_not_used(
    tmp_path: Path, release: KafkaRelease, caplog: pytest.LogCaptureFixture
) -> None:
    """Changed, added and deleted jars are found at the next start. The log names them, and all are downloaded again."""
    jars = kafka_jars(tmp_path, release, two_jars)
    (jars / "a.jar").write_text("changed in the cache")
    (jars / "b.jar").rename(jars / "evil.jar")
    with pytest.raises(DevServerError):
        kafka_jars(tmp_path, release, no_network)
    with caplog.at_level(logging.WARNING):
        kafka_jars(tmp_path, release, two_jars)

    assert {path.name: path.read_text() for path in jars.iterdir()} == CONTENT
    for difference in ("a.jar has the SHA-256 ", "evil.jar is not one of the pinned jars", "b.jar is missing"):
        assert difference in caplog.text


def test_a_failed_fetch_says_what_failed_and_how_to_go_on(tmp_path: Path) -> None:
    """Without the network, `start` names the artifact, the cause and the alternative."""
    server = KafkaServer(cache_dir=tmp_path / "cache", fetch=no_network)
    with pytest.raises(DevServerError) as caught:
        server.start()
    server.close()
    for part in (
        "Apache Kafka 4.3.1",
        str(tmp_path / "cache"),
        "connection refused by the repository",
        "--kafka ADDRESS",
        "KAFKA_BOOTSTRAP",
    ):
        assert part in str(caught.value)


def test_the_pins_are_of_this_version() -> None:
    """They have Kafka and the binding of its log. `make kafka-jars` writes them after a change of the version."""
    pins = KAFKA.sha256()

    assert {f"kafka_2.13-{KAFKA.version}.jar", f"kafka-clients-{KAFKA.version}.jar"} <= set(pins)
    assert {"{1}-{2}.jar".format(*name.split(":")) for name in KAFKA.log_jars} <= set(pins)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in pins.values())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOME": "/home/u"}, "/home/u/.cache/clocksvc"),
        ({"HOME": "/home/u", "XDG_CACHE_HOME": "/x"}, "/x/clocksvc"),
        ({"HOME": "/home/u", "XDG_CACHE_HOME": "/x", "CLOCKSVC_DEV_CACHE": "/own"}, "/own"),
    ],
)
def test_where_the_cache_is(environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOCKSVC_DEV_CACHE is preferred to XDG_CACHE_HOME, and that to the home directory."""
    for name in ("HOME", "XDG_CACHE_HOME", "CLOCKSVC_DEV_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_cache_dir() == Path(expected)
