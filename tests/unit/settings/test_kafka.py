"""librdkafka's settings: which are accepted, under which names, and which are rejected."""

import re

import confluent_kafka
import pytest

from clocksvc.errors import SettingsError
from clocksvc.settings import settings_from
from clocksvc.settings.kafka import KNOWN_SETTINGS, TOPIC_IDS
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


@pytest.mark.parametrize(
    ("written", "wanted"), [("off", False), (False, False), ("false", False), ("on", True), (True, True)]
)
def test_topic_ids_can_be_switched_off(written: object, wanted: bool) -> None:
    """YAML reads `off` as false. It holds for all clocks, and librdkafka does not get the setting."""
    settings = settings_from(with_section("kafka", {"topic_ids": written}))

    assert settings.clock_specs()["checkins"].require_topic_ids is wanted
    assert settings.clock_spec("checkins").require_topic_ids is wanted
    assert settings.kafka_settings() == {"bootstrap.servers": "localhost:9092"}


def test_topic_ids_from_the_environment() -> None:
    """The variable has an underscore where the setting has one."""
    settings = settings_from(MINIMAL, {"CLOCKSVC_KAFKA__TOPIC_IDS": "off"})

    assert settings.clock_spec("checkins").require_topic_ids is False
    assert settings_from(MINIMAL).clock_spec("checkins").require_topic_ids is True


@pytest.mark.parametrize("written", ["maybe", 0, None, [], "OFF"])
def test_topic_ids_are_on_or_off(written: object) -> None:
    """Other values are rejected by name."""
    (problem,) = problems_of(with_section("kafka", {"topic_ids": written}))

    assert problem.startswith("kafka.topic_ids: ")
    assert problem.endswith("wanted on or off")


def test_known_kafka_names_are_librdkafkas() -> None:
    """Every known name is a setting of the installed librdkafka, or of clocksvc."""
    names = sorted(KNOWN_SETTINGS - {TOPIC_IDS})
    unknown = [name for name in names if "No such configuration property" in _librdkafka_error(name)]

    assert unknown == []


def _librdkafka_error(name: str) -> str:
    try:
        confluent_kafka.Producer({name: "~"})
    except (confluent_kafka.KafkaException, TypeError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enable.ssl.certificate.verification", False),
        ("enable.ssl.certificate.verification", "False"),
        ("enable.ssl.certificate.verification", 0),
        ("ssl.endpoint.identification.algorithm", "none"),
        ("ssl.endpoint.identification.algorithm", "None "),
    ],
)
def test_the_verification_of_brokers_can_not_be_switched_off(name: str, value: object) -> None:
    """The error names the setting, and what to set instead."""
    with pytest.raises(SettingsError, match=rf"kafka\.{re.escape(name)}.*ssl\.ca\.location"):
        settings_from(with_section("kafka", {name: value}))


def test_the_defaults_of_verification_can_be_set() -> None:
    """Settings that keep the verification are accepted."""
    kept = {"enable.ssl.certificate.verification": True, "ssl.endpoint.identification.algorithm": "https"}

    assert settings_from(with_section("kafka", kept)).kafka_settings().items() >= {
        ("enable.ssl.certificate.verification", "true"),
        ("ssl.endpoint.identification.algorithm", "https"),
    }
