"""librdkafka's settings: which are accepted, under which names, and which are rejected."""

import confluent_kafka
import pytest

from clocksvc.settings import settings_from
from clocksvc.settings.kafka import KNOWN_SETTINGS
from tests.unit.settings.sample_config import MINIMAL, problems_of, with_section

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    "name",
    [
        "acks",
        "request.required.acks",
        "enable.idempotence",
        "transactional.id",
        "isolation.level",
        "group.id",
        "enable.auto.commit",
        "auto.commit.enable",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "allow.auto.create.topics",
        "delivery.report.only.error",
        "metadata.broker.list",
        "test.mock.num.brokers",
    ],
)
def test_settings_that_break_a_promise_are_rejected(name: str) -> None:
    """From the file and from the environment, with the reason."""
    variable = f"CLOCKSVC_KAFKA__{name.upper().replace('.', '_')}"

    (from_file,) = problems_of(with_section("kafka", {name: "1"}))
    (from_environment,) = problems_of(MINIMAL, {variable: "1"})

    assert from_file.startswith(f"kafka.{name}: can't be set: ")
    assert from_environment == from_file.replace(f"kafka.{name}", f"kafka.{name} ({variable})")


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("BOOTSTRAP_SERVERS", "bootstrap.servers"),
        ("SASL_MECHANISM", "sasl.mechanism"),
        ("SSL_CA_LOCATION", "ssl.ca.location"),
        ("LOG_LEVEL", "log_level"),
        ("ENABLED_EVENTS", "enabled_events"),
        ("SASL_OAUTHBEARER_ASSERTION_PRIVATE_KEY_FILE", "sasl.oauthbearer.assertion.private.key.file"),
        ("SOME_NEWER_SETTING", "some.newer.setting"),
    ],
)
def test_kafka_settings_from_the_environment(variable: str, name: str) -> None:
    """An underscore is a dot, except in names that have an underscore."""
    settings = settings_from(MINIMAL, {f"CLOCKSVC_KAFKA__{variable}": "6"})

    assert settings.kafka_settings()[name] == "6"


def test_kafka_settings_become_text() -> None:
    """Numbers and booleans are written as librdkafka reads them."""
    data = with_section(
        "kafka", {"socket.timeout.ms": 6000, "log.connection.close": False, "sasl.password": "x", "a.b": 0.5}
    )

    assert settings_from(data).kafka_settings() == {
        "bootstrap.servers": "localhost:9092",
        "socket.timeout.ms": "6000",
        "log.connection.close": "false",
        "sasl.password": "x",
        "a.b": "0.5",
    }


def test_known_kafka_names_are_librdkafkas() -> None:
    """Every known name is a setting of the installed librdkafka."""
    unknown = [name for name in sorted(KNOWN_SETTINGS) if "No such configuration property" in _librdkafka_error(name)]

    assert unknown == []


def _librdkafka_error(name: str) -> str:
    try:
        confluent_kafka.Producer({name: "~"})
    except (confluent_kafka.KafkaException, TypeError) as error:
        return str(error)
    return ""
