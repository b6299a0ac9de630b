"""The YAML text as plain data. A key that stands twice in one mapping is refused. Must not know any field.

No error repeats the text around it, which may hold a secret.
"""

import re
from typing import Any

import yaml


class InvalidYaml(ValueError):
    """The text is no YAML that can be taken as plain data: says where and why, not what stands there."""


def read_yaml(text: str) -> Any:
    """Mappings, lists and scalars; None for an empty document.

    Raises:
        NotYaml: for anything else.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InvalidYaml(_describe(error)) from None
    except RecursionError:
        raise InvalidYaml("it is nested too deeply") from None
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError):
        # PyYAML's constructors raise these for a scalar that is not what its tag or its look says.
        raise InvalidYaml("a value is not of the kind that it looks like: put it in quotes") from None


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML carries no types
    """Looks for repeated keys before merge keys are resolved, which may repeat them rightly."""

    def compose_mapping_node(self, anchor: str | None) -> Any:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                problem = f"the key {key.value[:80]!r} stands twice in one mapping"
                raise _DuplicateKey(problem=problem, problem_mark=key.start_mark)
            seen.add((key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key)))
        return node


class _DuplicateKey(yaml.MarkedYAMLError):  # type: ignore[misc]  # PyYAML carries no types
    """Its problem holds a key, never a value."""


def _describe(error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it holds a character that YAML does not allow"
    if not isinstance(error, _DuplicateKey):
        # `<scalar>` says what kind of thing was found; anything else in quotes is the text itself.
        problem = re.sub(r"'(?!<[^'<>]*>')[^']*'|\"[^\"]*\"", "…", problem)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)
