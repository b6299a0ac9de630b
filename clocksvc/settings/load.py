"""Builds Settings from a file, environment variables and secret files. One error lists all problems.

Must not read `os.environ` or connect to servers.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from clocksvc.errors import SettingsError
from clocksvc.settings.document import InvalidYaml, read_yaml
from clocksvc.settings.environment import apply_environment, variables_by_path
from clocksvc.settings.field_types import FieldType, child, field_names, is_section
from clocksvc.settings.fields import FieldPath
from clocksvc.settings.kafka import KafkaSettings, is_secret
from clocksvc.settings.models import Settings
from clocksvc.settings.problems import Problems
from clocksvc.settings.repair import repaired

ReadFile = Callable[[str], str]
CheckKafka = Callable[[Mapping[str, str]], Sequence[str]]
_FILE = "_file"
_MAX_ROUNDS = 20
_NO_FILE = " (no file was read: CLOCKSVC_CONFIG is not set to the path of the configuration)"
_NOTHING: Mapping[str, str] = MappingProxyType({})


def read_text(path: str) -> str:
    """Return the content of a file.

    Raises:
        OSError: the file can't be read.
        ValueError: the file is not UTF-8.
    """
    return Path(path).read_text(encoding="utf-8")


def load(
    path: str | None,
    environ: Mapping[str, str],
    read_file: ReadFile = read_text,
    check_kafka: CheckKafka | None = None,
) -> Settings:
    """Load the configuration from `path`, or from the file in `CLOCKSVC_CONFIG`, and from `environ`.

    Args:
        path: the file. None means the file in `CLOCKSVC_CONFIG`, or no file if this variable is not set.
        environ: the environment variables.
        read_file: reads the configuration and the secret files. It may raise OSError and ValueError.
        check_kafka: returns the problems of librdkafka's settings, such as `clocksvc.kafka.admin.settings_problems`.
            None if this process does not connect to Kafka.

    Raises:
        SettingsError: lists all problems.
    """
    source = path or environ.get("CLOCKSVC_CONFIG") or None
    if source is None:
        return settings_from({}, environ, read_file, hint=_NO_FILE, check_kafka=check_kafka)
    return settings_from(_read_document(source, read_file), environ, read_file, source, check_kafka=check_kafka)


def settings_from(
    data: object,
    environ: Mapping[str, str] = _NOTHING,
    read_file: ReadFile = read_text,
    source: str | None = None,
    hint: str = "",
    check_kafka: CheckKafka | None = None,
) -> Settings:
    """Build the configuration from plain data, as read from YAML, and `environ`.

    Args:
        source: the name of the file, for the error message.
        hint: a text that is appended to problems of the clocks.
        check_kafka: see `load`.

    Raises:
        SettingsError: lists all problems.
    """
    origins: dict[tuple[str | int, ...], str] = {}
    problems = Problems(origins)
    problems.add_hint(("clocks",), hint)
    data = {} if data is None else data
    origins.update(variables_by_path(environ, data, problems))
    data = apply_environment(data, origins, environ, problems)
    data = read_secret_files(data, Settings, read_file, problems)
    settings = _validate(data, problems)
    if settings is not None and check_kafka is not None:
        for problem in check_kafka(settings.kafka_settings()):
            problems.add(("kafka",), problem)
    problems.raise_if_any(source, data)
    if settings is None:
        raise SettingsError(["validation failed without a reason; report this as a bug"], source)
    return settings


def _validate(data: object, problems: Problems) -> Settings | None:
    """Validate, and add all problems. Return None only if the data can't be repaired.

    Each round repairs the values that the round before has reported, because a problem can hide others.
    """
    for _ in range(_MAX_ROUNDS):
        try:
            return Settings.model_validate(data, context=problems.reported)
        except ValidationError as error:
            paths = problems.add_validation_error(error)
        # A value that is still wrong after its repair is removed together with its parent.
        data = repaired(data, [path if new else path[:-1] for path, new in paths])
    return None


def _read_document(source: str, read_file: ReadFile) -> object:
    try:
        return read_yaml(read_file(source))
    except InvalidYaml as error:
        raise SettingsError([f"not valid YAML: {error}"], source) from None
    except OSError as error:
        raise SettingsError([f"can't be read: {error.strerror}"], source) from None
    except ValueError:
        raise SettingsError(["can't be read: it is not UTF-8 text"], source) from None


def read_secret_files(
    data: Any, field_type: FieldType, read: ReadFile, problems: Problems, path: FieldPath = ()
) -> Any:
    """Return a copy of `data` in which each `<secret>_file` has set `<secret>` to the file's content.

    A newline at the end of the file is removed.
    """
    if field_type is None:
        return data
    if isinstance(data, dict):
        below = {
            key: read_secret_files(value, child(field_type, key), read, problems, (*path, key))
            for key, value in data.items()
        }
        for secret in _secrets_in_files(field_type, below):
            _read_secret(below, secret, read, problems, path)
            if field_type is KafkaSettings:
                del below[secret + _FILE]
        return below
    if isinstance(data, list):
        items = enumerate(data)
        return [read_secret_files(item, child(field_type, i), read, problems, (*path, i)) for i, item in items]
    return data


def _secrets_in_files(field_type: FieldType, data: dict[Any, Any]) -> list[str]:
    given = [key for key in data if isinstance(key, str) and key.endswith(_FILE) and isinstance(data[key], str)]
    secrets = [key.removesuffix(_FILE) for key in given]
    if field_type is KafkaSettings:
        return [secret for secret in secrets if is_secret(secret)]
    return [secret for secret in secrets if is_section(field_type) and secret in field_names(field_type)]


def _read_secret(data: dict[Any, Any], secret: str, read: ReadFile, problems: Problems, path: FieldPath) -> None:
    file, name = data[secret + _FILE], (*path, secret + _FILE)
    if data.get(secret) is not None:
        problems.add((*path, secret), f"set twice: wanted either {secret} or {secret}{_FILE}")
        return
    try:
        data[secret] = read(file).rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        problems.add(name, f"wanted a file that can be read: {reason}", file)
        problems.mark_reported((*path, secret))
        return
    if not data[secret].strip():
        problems.add(name, "wanted a file that is not empty", file)
        problems.mark_reported((*path, secret))
