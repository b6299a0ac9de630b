"""YAML text as plain data. Knows no field.

Errors give the position, never the text, which may contain a secret.
"""

import re
from typing import Any

import yaml


class InvalidYaml(ValueError):
    """The text is not YAML that can be read as plain data. The message gives the position and the reason."""


def read_yaml(text: str) -> Any:
    """Read mappings, lists and scalars; None for an empty document.

    Raises:
        InvalidYaml: the text is anything else, or a mapping has a key twice.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InvalidYaml(_describe(error)) from None
    except RecursionError:
        raise InvalidYaml("it is nested too deeply") from None
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError):
        # PyYAML's constructors raise these for a scalar that does not match its tag or its form, such as 2024-13-45.
        raise InvalidYaml("a value looks like another type, such as a date, but is none: put it in quotes") from None


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML carries no types
    """Rejects duplicate keys. It does so before merge keys (`<<`) are resolved, which may repeat a key."""

    def compose_mapping_node(self, anchor: str | None) -> Any:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                problem = f"the key {key.value[:80]!r} occurs twice in one mapping"
                raise _DuplicateKey(problem=problem, problem_mark=key.start_mark)
            seen.add((key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key)))
        return node


class _DuplicateKey(yaml.MarkedYAMLError):  # type: ignore[misc]  # PyYAML carries no types
    """A duplicate key. Its message contains a key, never a value."""


def _describe(error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it contains a character that YAML does not allow"
    if not isinstance(error, _DuplicateKey):
        # `<scalar>` is the type of a token; anything else in quotes is text of the document.
        problem = re.sub(r"'(?!<[^'<>]*>')[^']*'|\"[^\"]*\"", "…", problem)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)
