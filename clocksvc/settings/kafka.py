"""The section `kafka`: all settings of librdkafka by their own names, except those that would break a promise.

`topic_ids` is a setting of clocksvc, which librdkafka does not get.

`KNOWN_SETTINGS` is for suggestions and variables. It need not be complete, because librdkafka rejects unknown settings.
This module must not import a Kafka client. `clocksvc.kafka.admin.settings_problems` checks the values.
"""

import math
import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from pydantic import RootModel, SecretStr, field_validator

from clocksvc.settings.fields import FieldError, raise_errors

_NAMES = """
api.version.fallback.ms api.version.request api.version.request.timeout.ms auto.commit.interval.ms
batch.num.messages batch.size bootstrap.servers broker.address.family broker.address.ttl
broker.version.fallback builtin.features check.crcs client.dns.lookup client.id client.rack compression.codec
compression.level compression.type connections.max.idle.ms consume.callback.max.messages
coordinator.query.interval.ms debug delivery.timeout.ms enable.metrics.push enable.partition.eof
enable.random.seed enable.sasl.oauthbearer.unsecure.jwt enable.sparse.connections
enable.ssl.certificate.verification enable_sasl_queue enabled_events fetch.error.backoff.ms fetch.max.bytes
fetch.message.max.bytes fetch.min.bytes fetch.queue.backoff.ms fetch.wait.max.ms heartbeat.interval.ms
https.ca.location https.ca.pem internal.termination.signal linger.ms log.connection.close log.queue
log.thread.name log_level max.in.flight max.in.flight.requests.per.connection max.partition.fetch.bytes
max.poll.interval.ms message.copy.max.bytes message.max.bytes message.send.max.retries message.timeout.ms
metadata.max.age.ms metadata.recovery.rebootstrap.trigger.ms metadata.recovery.strategy
metadata.request.timeout.ms partition.assignment.strategy partitioner plugin.library.paths
queue.buffering.backpressure.threshold queue.buffering.max.kbytes queue.buffering.max.messages
queue.buffering.max.ms queued.max.messages.kbytes queued.min.messages queuing.strategy
receive.message.max.bytes reconnect.backoff.jitter.ms reconnect.backoff.max.ms reconnect.backoff.ms
request.timeout.ms retries retry.backoff.max.ms retry.backoff.ms sasl.kerberos.keytab sasl.kerberos.kinit.cmd
sasl.kerberos.min.time.before.relogin sasl.kerberos.principal sasl.kerberos.service.name sasl.mechanism
sasl.mechanisms sasl.oauthbearer.assertion.algorithm sasl.oauthbearer.assertion.claim.aud
sasl.oauthbearer.assertion.claim.exp.seconds sasl.oauthbearer.assertion.claim.iss
sasl.oauthbearer.assertion.claim.jti.include sasl.oauthbearer.assertion.claim.nbf.seconds
sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.assertion.file
sasl.oauthbearer.assertion.jwt.template.file sasl.oauthbearer.assertion.private.key.file
sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.private.key.pem
sasl.oauthbearer.client.credentials.client.id sasl.oauthbearer.client.credentials.client.secret
sasl.oauthbearer.client.id sasl.oauthbearer.client.secret sasl.oauthbearer.config
sasl.oauthbearer.extensions sasl.oauthbearer.grant.type sasl.oauthbearer.metadata.authentication.type
sasl.oauthbearer.method sasl.oauthbearer.scope sasl.oauthbearer.sub.claim.name
sasl.oauthbearer.token.endpoint.url sasl.password sasl.username security.protocol session.timeout.ms
socket.blocking.max.ms socket.connection.setup.timeout.ms socket.keepalive.enable socket.max.fails
socket.nagle.disable socket.receive.buffer.bytes socket.send.buffer.bytes socket.timeout.ms
ssl.ca.certificate.stores ssl.ca.location ssl.ca.pem ssl.certificate.location ssl.certificate.pem
ssl.cipher.suites ssl.crl.location ssl.curves.list ssl.endpoint.identification.algorithm ssl.engine.id
ssl.engine.location ssl.key.location ssl.key.password ssl.key.pem ssl.keystore.location ssl.keystore.password
ssl.providers ssl.sigalgs.list statistics.interval.ms sticky.partitioning.linger.ms topic.blacklist
topic.metadata.propagation.max.ms topic.metadata.refresh.fast.cnt topic.metadata.refresh.fast.interval.ms
topic.metadata.refresh.interval.ms topic.metadata.refresh.sparse transaction.timeout.ms
"""
TOPIC_IDS = "topic_ids"
KNOWN_SETTINGS = frozenset(_NAMES.split()) | {TOPIC_IDS}

_REPLICAS = "a tick is published only after all in-sync replicas have it"
_COMMITTED = "clocksvc reads committed ticks by their offsets, and does not commit offsets of a group"
_OUTCOME = "every record's delivery is checked"
_FORBIDDEN = {
    "acks": _REPLICAS,
    "request.required.acks": _REPLICAS,
    "enable.idempotence": "the tick log must have each tick once",
    "enable.gapless.guarantee": "the tick log must have each tick once",
    "transactional.id": "clocksvc derives it from the name of the tick log, so that a new leader fences the old one",
    "isolation.level": _COMMITTED,
    "group.id": _COMMITTED,
    "group.instance.id": _COMMITTED,
    "enable.auto.commit": _COMMITTED,
    "auto.commit.enable": _COMMITTED,
    "enable.auto.offset.store": _COMMITTED,
    "auto.offset.reset": _COMMITTED,
    "allow.auto.create.topics": "a missing topic holds the clock and is not created",
    "delivery.report.only.error": _OUTCOME,
    "produce.offset.report": _OUTCOME,
    "test.mock.num.brokers": "ticks need a real Kafka",
    "metadata.broker.list": "use the name bootstrap.servers, which means the same",
}
_UNVERIFIED = {
    "enable.ssl.certificate.verification": frozenset({"false", "0", "f", "n", "no", "off"}),
    "ssl.endpoint.identification.algorithm": frozenset({"none", ""}),
}
"""Values that switch off the verification of the brokers' certificates, in lower case."""
_SECRET_WORDS = frozenset({"password", "passphrase", "secret", "pem", "token"})
_NEAR = 0.75
_NAME = re.compile(r"[a-z0-9]+(?:[._][a-z0-9]+){0,19}")
_BY_VARIABLE = {name.replace(".", "_").upper(): name for name in KNOWN_SETTINGS}
_LONGEST_INTEGER_BITS = 64
_DEFAULTS = {"bootstrap.servers": "localhost:9092"}
_SWITCH = {"on": True, "off": False, "true": True, "false": False}
"""YAML reads `on` and `off` without quotes as true and false."""


class KafkaSettings(RootModel[dict[str, SecretStr]]):
    """librdkafka's settings as text. All values are stored as secrets, so that no value is shown by mistake."""

    @field_validator("root", mode="before")
    @classmethod
    def _check_settings(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            raise ValueError("wanted librdkafka settings such as {bootstrap.servers: localhost:9092}")  # noqa: TRY004
        raise_errors([error for name, setting in value.items() if (error := _setting_error(name, setting))])
        return {**_DEFAULTS, **{name: _as_text(setting) for name, setting in value.items()}}

    def reveal(self) -> dict[str, str]:
        """Return the name and value of every setting of librdkafka. Secrets are plain text."""
        return {name: value.get_secret_value() for name, value in self.root.items() if name != TOPIC_IDS}

    @property
    def topic_ids(self) -> bool:
        """True if brokers must give topic ids. True unless set."""
        value = self.root.get(TOPIC_IDS)
        return value is None or _SWITCH[value.get_secret_value()]


def _setting_error(name: Any, value: object) -> FieldError | None:
    if not isinstance(name, str):
        return FieldError((str(name),), "wanted the name of a librdkafka setting")
    reason = forbidden_reason(name)
    if reason is not None:
        return FieldError((name,), f"can't be set: {reason}")
    if name.endswith("_file") and is_secret(name.removesuffix("_file")):
        return FieldError((name,), "wanted the path of a file", value)
    meant = similar_setting(name)
    if meant is not None:
        return FieldError((name,), f"unknown setting: did you mean {meant!r}?")
    if not is_setting_name(name):
        return FieldError((name,), "unknown setting: wanted librdkafka's name, such as bootstrap.servers")
    return _value_error(name, value)


def _value_error(name: str, value: object) -> FieldError | None:
    if name == TOPIC_IDS:
        known = isinstance(value, str | bool) and _as_text(value) in _SWITCH
        return None if known else FieldError((name,), "wanted on or off", value)
    if isinstance(value, Mapping):
        return FieldError(
            (name,), f"wanted text, a number, true or false: write the full name of a setting, as in {name}.…", value
        )
    huge = isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER_BITS
    if not isinstance(value, str | int | float | SecretStr) or huge or _is_not_finite(value):
        return FieldError((name,), "wanted text, a number, true or false", value)
    if str(_as_text(value)).strip().lower() in _UNVERIFIED.get(name, ()):
        wanted = (
            "can't be switched off, because anyone in between could then forge ticks: set ssl.ca.location to the "
            "authority of the brokers' certificates, and use the names in these certificates in bootstrap.servers"
        )
        return FieldError((name,), wanted, value)
    if name in _DEFAULTS and not str(value).strip():
        return FieldError((name,), "wanted host:port; separate several addresses with commas", value)
    return None


def _is_not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def setting_for_variable(variable: str) -> str:
    """Return librdkafka's name for the last part of a variable: `sasl.password_file` for `SASL_PASSWORD_FILE`."""
    if known := _BY_VARIABLE.get(variable.upper()):
        return known
    dotted = variable.lower().replace("_", ".")
    secret = dotted.removesuffix(".file")
    return f"{secret}_file" if secret != dotted and is_secret(secret) else dotted


def forbidden_reason(name: str) -> str | None:
    """Return the reason why a user can't set this setting; None if the user can set it."""
    if name.endswith("_cb"):
        return "a callback is code, which a configuration can't contain"
    return _FORBIDDEN.get(name)


def is_secret(name: str) -> bool:
    """True if the setting's value must not be shown."""
    return name == "sasl.oauthbearer.config" or not _SECRET_WORDS.isdisjoint(name.split("."))


def is_setting_name(name: str) -> bool:
    """True if the text has the form of a librdkafka setting's name."""
    return _NAME.fullmatch(name) is not None


def similar_setting(name: str) -> str | None:
    """Return a known setting whose name differs only in separators or in one similar word; None if there is none."""
    if name in KNOWN_SETTINGS:
        return None
    written = re.sub(r"[^a-z0-9]", ".", name.lower())
    same = (known for known in sorted(KNOWN_SETTINGS) if known.replace("_", ".") == written)
    near = (known for known in sorted(KNOWN_SETTINGS) if _one_word_apart(written, known))
    return next(same, None) or next(near, None)


def _one_word_apart(written: str, known: str) -> bool:
    words, other = written.split("."), known.split(".")
    different = [(a, b) for a, b in zip(words, other, strict=False) if a != b]
    if len(words) != len(other) or len(different) != 1:
        return False
    return SequenceMatcher(None, *different[0]).ratio() >= _NEAR
