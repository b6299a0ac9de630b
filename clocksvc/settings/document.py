"""Parses YAML text to plain data, and writes it. Does not check any field.

Errors contain the position of a mistake, but no text of the document, because the text may contain a secret.
"""

import re
from typing import Any

import yaml


class InvalidYaml(ValueError):
    """The text can't be parsed as YAML with plain data. The message contains the position and the reason."""


def read_yaml(text: str) -> Any:
    """Return the mappings, lists and scalars of a YAML document; None if the document is empty.

    Raises:
        InvalidYaml: the text is not YAML, has other types of values, or has a mapping with a duplicate key.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InvalidYaml(_describe(error)) from None
    except RecursionError:
        raise InvalidYaml("it is nested too deeply") from None
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError):
        # PyYAML raises these errors for a scalar that does not match its tag or its form, such as 2024-13-45.
        raise InvalidYaml(
            "a value looks like a date or another special type, but is not valid as one: put the value in quotes"
        ) from None


def write_yaml(value: object) -> str:
    """Return mappings, lists and scalars as YAML, in their order."""
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120))


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Rejects duplicate keys. Checks before merge keys (`<<`) are resolved, because a merge may repeat a key."""

    def compose_mapping_node(self, anchor: str | None) -> Any:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                problem = f"the key {key.value[:80]!r} occurs twice in one mapping"
                raise _DuplicateKey(problem=problem, problem_mark=key.start_mark)
            seen.add((key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key)))
        return node


class _DuplicateKey(yaml.MarkedYAMLError):  # type: ignore[misc]  # PyYAML has no types
    """A duplicate key. Its message contains a key, never a value."""


def _describe(error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it contains a character that YAML does not allow"
    if not isinstance(error, _DuplicateKey):
        # `<scalar>` is the type of a token. All other quoted texts come from the document.
        problem = re.sub(r"'(?!<[^'<>]*>')[^']*'|\"[^\"]*\"", "…", problem)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)
