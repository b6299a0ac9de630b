"""The cache of Kafka's jars is complete or absent, and filled once."""

from pathlib import Path

import pytest

from clocksvc.dev.child_process import DevServerError
from clocksvc.dev.kafka_server import KafkaServer, default_cache_dir, kafka_jars


def two_jars(into: Path) -> list[Path]:
    """A fetch that finds two jars in separate directories, as in a Maven repository."""
    jars = [into / "a" / "a.jar", into / "b" / "b.jar"]
    for jar in jars:
        jar.parent.mkdir(parents=True)
        jar.write_text(jar.name)
    return jars


def no_network(into: Path) -> list[Path]:
    """A fetch that fails halfway."""
    into.mkdir(parents=True)
    (into / "half.jar").write_text("ha")
    raise ConnectionError("connection refused by the repository")


def test_the_second_start_does_not_fetch(tmp_path: Path) -> None:
    """A cached version is used without the network."""
    jars = kafka_jars(tmp_path, two_jars)
    assert {path.name for path in jars.glob("*.jar")} == {"a.jar", "b.jar"}
    assert kafka_jars(tmp_path, no_network) == jars


def test_a_failed_fetch_leaves_nothing_behind(tmp_path: Path) -> None:
    """An incomplete download is never used, and the next attempt starts clean."""
    with pytest.raises(DevServerError):
        kafka_jars(tmp_path, no_network)
    assert list(tmp_path.rglob("*.jar")) == []
    assert (kafka_jars(tmp_path, two_jars) / "a.jar").read_text() == "a.jar"


def test_a_jar_that_went_missing_is_fetched_again(tmp_path: Path) -> None:
    """A partly deleted cache is fetched again."""
    (kafka_jars(tmp_path, two_jars) / "a.jar").unlink()
    assert (kafka_jars(tmp_path, two_jars) / "a.jar").exists()


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
