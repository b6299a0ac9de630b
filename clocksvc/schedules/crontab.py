"""Reads a crontab file, and gives schedules that are due when cron would have run its lines.

Cron's rules differ from those of a schedule's `cron` in the following points, and are translated:

- If day of the month and day of the week are both restricted, cron runs on days that match one of them; a schedule must
  match both. Such a line becomes two schedules, which never have a day in common.
- A range from a higher to a lower number, such as `22-2`, is an error. A schedule goes on from the lowest number.
- Sunday can be 7, any number of blanks can separate fields, and there are names such as `@daily`.
- In a command, `%` ends a line; what follows the first one is the standard input. `\\%` is a percent sign.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from clocksvc.errors import InvalidValue
from clocksvc.schedules.cron import parse_cron, parse_field, parse_number, parse_timezone

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SETTING = re.compile(r"""(["']?)([A-Za-z_]\w*)\1\s*=\s*(.*)""", re.ASCII)
_ZONE_SETTING = "CRON_TZ"
_RANGE = re.compile(r"(\w+)-(\w+)", re.ASCII)
_PERCENT = re.compile(r"(?<!\\)%")
_ID_DIGITS = 12
ID_SUFFIX_LENGTH = _ID_DIGITS + len(".999.or")
"""At most as many characters follow the prefix in an id, if a command is not repeated a thousand times."""
_WEEK = frozenset(range(7))


class CrontabLine(NamedTuple):
    """One line that runs a command, or a setting `CRON_TZ` that is not valid.

    Attributes:
        number: the number of the line in its file, from 1.
        text: the line.
        schedules: an id and the fields of a schedule, one or two.
        error: why the line can't become a schedule, or is no valid setting. `schedules` is then empty.
        unwritten: of a setting: how many lines after it can't become schedules for this reason alone.
    """

    number: int
    text: str
    schedules: tuple[tuple[str, Mapping[str, Any]], ...]
    error: InvalidValue | None = None
    unwritten: int = 0


def read_crontab(
    lines: Iterable[str],
    *,
    prefix: str,
    timezone: str,
    fields: Mapping[str, Any],
    has_user: bool = False,
) -> Iterator[CrontabLine]:
    """Yield the lines of a crontab that run commands, and settings `CRON_TZ` that are not valid, in order.

    The id of a schedule is the prefix and a hash of its command. So the same commands have the same ids, in any order
    of the lines, and a line with another time changes its schedule. The second line with the same command has `.2`
    behind its id, and so on. The payload has the members `command`, and `stdin`, `environment` and `user` if there are
    any.

    A `CRON_TZ` that is not valid has one error. Lines up to the next one have none of their own for this reason, and no
    schedules: they are not yielded.

    Args:
        prefix: the beginning of all ids. Two crontabs need different prefixes.
        timezone: the time zone of the lines before a setting `CRON_TZ`. Must be valid.
        fields: further fields of each schedule, at least `task`.
        has_user: True if the sixth field is a user, as in /etc/crontab.
    """
    reader = _Reader(prefix, timezone, fields, has_user)
    setting: CrontabLine | None = None
    errors: list[CrontabLine] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if found := _SETTING.fullmatch(text):
            error = reader.set(found[2], _unquoted(found[3]))
            if found[2] == _ZONE_SETTING:
                yield from _setting_and_errors(setting, errors)
                setting, errors = None if error is None else CrontabLine(number, text, (), error), []
            continue
        read = reader.read(number, text)
        if setting is None:
            yield read
        elif read.error is not None:
            errors.append(read)
        else:
            setting = setting._replace(unwritten=setting.unwritten + 1)
    yield from _setting_and_errors(setting, errors)


def _setting_and_errors(setting: CrontabLine | None, errors: list[CrontabLine]) -> Iterator[CrontabLine]:
    """Yield a setting that is not valid, if there is one, and the lines after it that have errors of their own."""
    if setting is not None and setting.error is not None:
        error = setting.error
        if setting.unwritten:
            lines = "line after it is" if setting.unwritten == 1 else f"{setting.unwritten:,} lines after it are"
            error = InvalidValue(error.field, error.value, f"{error.wanted}; the {lines} not written")
        yield setting._replace(error=error)
    yield from errors


class _Reader:
    """Reads one line after the other, and remembers the settings and commands before it."""

    def __init__(self, prefix: str, timezone: str, fields: Mapping[str, Any], has_user: bool) -> None:
        self._prefix, self._zone, self._fields, self._has_user = prefix, timezone, fields, has_user
        self._environment: dict[str, str] = {}
        self._seen: dict[str, int] = {}

    def set(self, name: str, value: str) -> InvalidValue | None:
        """Set a variable of the lines after it. Returns an error for a time zone that is not valid."""
        if name != _ZONE_SETTING:
            self._environment[name] = value
            return None
        try:
            parse_timezone(value)
        except InvalidValue as error:
            self._zone = "UTC"
            return InvalidValue(name, value, error.wanted)
        self._zone = value
        return None

    def read(self, number: int, text: str) -> CrontabLine:
        """Return a line that runs a command. Its error is set if it can't become a schedule."""
        try:
            time, rest = _split(text)
            payload = _payload(text, rest, self._has_user, self._environment)
            name = self._name(f"{payload.get('user', '')} {rest}")
            crons = _translate(time, self._zone)
        except InvalidValue as error:
            return CrontabLine(number, text, (), error)
        return CrontabLine(
            number,
            text,
            tuple(
                (each_name, {"cron": cron, "timezone": self._zone, "payload": payload, **self._fields})
                for each_name, cron in zip((name, f"{name}.or"), crons, strict=False)
            ),
        )

    def _name(self, command: str) -> str:
        """Return an id. A line counts even if its time is wrong, so that the ids after it stay when it is corrected."""
        digest = hashlib.sha256(command.encode()).hexdigest()[:_ID_DIGITS]
        self._seen[digest] = self._seen.get(digest, 0) + 1
        return f"{self._prefix}{digest}" + (f".{self._seen[digest]}" if self._seen[digest] > 1 else "")


def _split(text: str) -> tuple[list[str], str]:
    """Return the five fields of the time, and the rest of the line."""
    if text.startswith("@"):
        nickname, _, rest = text.replace("\t", " ").partition(" ")
        if nickname.lower() not in _NICKNAMES:
            raise InvalidValue("cron", nickname, f"wanted one of {', '.join(_NICKNAMES)}, or five fields")
        return _NICKNAMES[nickname.lower()].split(" "), rest.strip()
    parts = text.split(maxsplit=5)
    if len(parts) < 6:
        raise InvalidValue("cron", text, "wanted five fields and a command")
    return parts[:5], parts[5]


def _translate(time: list[str], timezone: str) -> list[str]:
    """Return one cron expression, or two without a day in common."""
    minute, hour, day, month, weekday = time
    if day.startswith("*") or weekday.startswith("*"):  # as in cron itself: */2 does not count as restricted
        crons = [f"{minute} {hour} {day} {month} {_weekday(time, weekday)}"]
    else:
        others = sorted(_WEEK - _weekdays(time, weekday))
        crons = [f"{minute} {hour} * {month} {_weekday(time, weekday)}"]
        if others:
            crons.append(f"{minute} {hour} {day} {month} {','.join(map(str, others))}")
    for cron in crons:
        parse_cron(cron, timezone)
    for found in _RANGE.finditer(" ".join(time)):
        first, last = parse_number(found[1]), parse_number(found[2])
        if first is not None and last is not None and first > last:
            wanted = f"{found[0]!r} goes from a higher to a lower number: wanted two ranges, such as 22-23,0-2"
            raise InvalidValue("cron", " ".join(time), wanted)
    return crons


def _weekday(time: list[str], text: str) -> str:
    """Return a day of the week without Sunday as 7. It is not changed if there is none."""
    return ",".join(map(str, sorted(_weekdays(time, text)))) if "7" in text else text


def _weekdays(time: list[str], text: str) -> frozenset[int]:
    return frozenset(day % 7 for day in parse_field(" ".join(time), text, "day of the week", 0, 7))


def _payload(text: str, rest: str, has_user: bool, environment: Mapping[str, str]) -> dict[str, Any]:
    user = {}
    if has_user:
        name, _, rest = rest.replace("\t", " ").partition(" ")
        user = {"user": name}
    command, *stdin = (part.replace("\\%", "%") for part in _PERCENT.split(rest.strip()))
    if not command.strip():
        raise InvalidValue("command", text, "wanted a command behind the time")
    return {
        "command": command.strip(),
        **({"stdin": "\n".join(stdin)} if stdin else {}),
        **({"environment": dict(environment)} if environment else {}),
        **user,
    }


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
