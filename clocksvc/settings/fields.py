"""Base types of all sections: strict fields, secrets, durations, and the errors of a section's own checks.

Must not import a section.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, StringConstraints

from clocksvc.clock.time_format import parse_duration, parse_whole_seconds

FieldPath: TypeAlias = tuple[str | int, ...]
NO_VALUE = object()
"""The `value` of a FieldError whose value is not shown."""


class Section(BaseModel):
    """A section of the configuration. It rejects unknown fields, and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error of a section's own check.

    Attributes:
        path: the path of the field, relative to the section.
        reason: what is wrong or wanted.
        value: the value to show in the message.
    """

    path: FieldPath
    reason: str
    value: object = NO_VALUE


class FieldErrors(ValueError):
    """Raised by a validator that can find several errors at once."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(error.reason for error in self.errors))


def raise_errors(errors: list[FieldError]) -> None:
    """Raise FieldErrors if the list is not empty."""
    if errors:
        raise FieldErrors(errors)


def _reject_empty(value: object) -> object:
    if isinstance(value, str) and not value:
        raise ValueError("wanted text that is not empty")
    return value


def _parse_port(value: object) -> object:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        return int(value)
    if isinstance(value, bool | float):
        raise ValueError("wanted a whole number")  # noqa: TRY004 - pydantic collects ValueError alone
    return value


Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Secret = Annotated[SecretStr, BeforeValidator(_reject_empty)]
Port = Annotated[int, BeforeValidator(_parse_port)]
Duration = Annotated[int, BeforeValidator(parse_duration)]
WholeSeconds = Annotated[int, BeforeValidator(parse_whole_seconds)]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a text such as `: did you mean 'url'?`; "" if no known name is similar."""
    by_lower_case = {one.lower(): one for one in known}
    near = get_close_matches(name[:200].lower(), by_lower_case, n=1, cutoff=0.6)
    return f": did you mean {by_lower_case[near[0]]!r}?" if near else ""
