"""Secrets: from files, and never shown."""

import pytest

from clocksvc.settings import Settings, settings_from
from tests.unit.settings.sample_config import MINIMAL, TOKEN, file_reader, with_section

pytestmark = pytest.mark.core


SECRETS = {
    "redis.url": ("redis", {"url_file": "/s"}, "redis://:s3cr3t@h:1/0"),
    "redis.password": ("redis", {"password_file": "/s"}, "s3cr3t"),
    "redis.sentinel.password": (
        "redis",
        {"sentinel": {"service": "s", "nodes": ["a"], "password_file": "/s"}},
        "s3cr3t",
    ),
    "celery.broker_url": ("celery", {"broker_url_file": "/s"}, "amqp://u:s3cr3t@h"),
    "kafka.sasl.password": ("kafka", {"sasl.password_file": "/s"}, "s3cr3t"),
    "kafka.ssl.key.pem": ("kafka", {"ssl.key.pem_file": "/s"}, "-----s3cr3t\n-----"),
    "api.tokens.0.token": (
        "api",
        {"tokens": [{"name": "n", "token_file": "/s", "scopes": ["read"]}]},
        "s3cr3t" + TOKEN,
    ),
}


def _revealed(settings: Settings, path: str) -> str:
    redis, sentinel, tokens = settings.redis, settings.redis.sentinel, settings.api.tokens
    secrets = {
        "redis.url": redis.url,
        "redis.password": redis.password,
        "redis.sentinel.password": sentinel and sentinel.password,
        "celery.broker_url": settings.celery.broker_url,
        "api.tokens.0.token": tokens[0].token if tokens else None,
    }
    secret = secrets.get(path)
    return secret.get_secret_value() if secret else settings.kafka_settings()[path.removeprefix("kafka.")]


@pytest.mark.parametrize("path", SECRETS)
def test_every_secret_can_be_a_file_and_never_shows(path: str) -> None:
    """The secret is the file's content without its final newline; neither repr nor dump show it."""
    section, fields, secret = SECRETS[path]

    settings = settings_from(with_section(section, fields), {}, file_reader({"/s": secret + "\n"}))

    assert _revealed(settings, path) == secret
    assert "s3cr3t" not in repr(settings) + str(settings) + str(settings.model_dump()) + settings.model_dump_json()


def test_a_variable_replaces_a_secret_and_its_file() -> None:
    """A password in a variable overrides `password_file` in the configuration file, and the reverse."""
    files = {"/s": "from-file"}
    by_file, in_text = with_section("redis", {"password_file": "/gone"}), with_section("redis", {"password": "old"})

    one = settings_from(by_file, {"CLOCKSVC_REDIS__PASSWORD": "new"}, file_reader(files))
    other = settings_from(in_text, {"CLOCKSVC_REDIS__PASSWORD_FILE": "/s"}, file_reader(files))
    kafka = settings_from(MINIMAL, {"CLOCKSVC_KAFKA__SASL_PASSWORD_FILE": "/s"}, file_reader(files))

    assert (_revealed(one, "redis.password"), _revealed(other, "redis.password")) == ("new", "from-file")
    assert kafka.kafka_settings()["sasl.password"] == "from-file"
