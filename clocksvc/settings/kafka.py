"""The Kafka section: any setting of librdkafka, under its own name, except those that would break a promise.

Must not import a Kafka client: whether a setting's value is possible is for the client to say when it is made.
"""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import RootModel, SecretStr, field_validator

from clocksvc.settings.fields import FieldError, refuse
from clocksvc.settings.librdkafka import KNOWN, is_name, is_secret, misspelt, reason_against

_LONGEST_INTEGER_BITS = 64
_DEFAULTS = {"bootstrap.servers": "localhost:9092"}


class KafkaSettings(RootModel[dict[str, SecretStr]]):
    """librdkafka's settings as text. All are kept as secrets: nobody needs to know which of them is one."""

    @field_validator("root", mode="before")
    @classmethod
    def _are_settings(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            raise ValueError("wanted librdkafka settings such as {bootstrap.servers: localhost:9092}")  # noqa: TRY004
        refuse([finding for name, setting in value.items() if (finding := _refused(name, setting))])
        return {**_DEFAULTS, **{name: _as_text(setting) for name, setting in value.items()}}

    def in_the_clear(self) -> dict[str, str]:
        """Name and value of every setting."""
        return {name: value.get_secret_value() for name, value in self.root.items()}


def _refused(name: Any, value: object) -> FieldError | None:
    if not isinstance(name, str):
        return FieldError((str(name),), "wanted the name of a librdkafka setting")
    reason = reason_against(name)
    if reason is not None:
        return FieldError((name,), f"not yours to set: {reason}")
    if name.endswith("_file") and is_secret(name.removesuffix("_file")):
        return FieldError((name,), "wanted the path of a file", value)
    meant = misspelt(name)
    if meant is not None:
        return FieldError((name,), f"unknown setting: did you mean {meant!r}?")
    if not is_name(name):
        return FieldError((name,), "unknown setting: wanted librdkafka's name, such as bootstrap.servers")
    return _refused_value(name, value)


def _refused_value(name: str, value: object) -> FieldError | None:
    if isinstance(value, Mapping):
        return FieldError((name,), f"wanted text, a number, true or false: names are written whole, as {name}.…", value)
    huge = isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER_BITS
    if not isinstance(value, str | int | float | SecretStr) or huge or _is_not_finite(value):
        return FieldError((name,), "wanted text, a number, true or false", value)
    if name in _DEFAULTS and not str(value).strip():
        return FieldError((name,), "wanted host:port, several with a comma between", value)
    return None


def _is_not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def name_from_environment(variable: str) -> str:
    """librdkafka's name for the last part of a variable: `SASL_PASSWORD_FILE` is `sasl.password_file`."""
    if known := _BY_VARIABLE.get(variable.upper()):
        return known
    dotted = variable.lower().replace("_", ".")
    secret = dotted.removesuffix(".file")
    return f"{secret}_file" if secret != dotted and is_secret(secret) else dotted


_BY_VARIABLE = {name.replace(".", "_").upper(): name for name in KNOWN}
