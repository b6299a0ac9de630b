"""Which program is found, and the message if none is suitable. Downloads nothing."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.ops import fetch, golang, maven
from tests.system.ops.checked_command import FetchFailed
from tests.system.ops.programs import PROGRAMS, GoModule, Jar, ProgramMissing, fetched, program


@pytest.fixture(autouse=True)
def nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine without any program: PATH is the folder `bin` of the given one."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("CLOCKSVC_DEV_CACHE", str(tmp_path / "cache"))
    program.cache_clear()
    yield tmp_path
    program.cache_clear()


def _put(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_missing_program_says_which_and_how_to_get_it(name: str) -> None:
    """The message has name, version, both places, and the command."""
    with pytest.raises(ProgramMissing, match=rf"need {name} \d+\.\d+ or newer.*none is there.*make test-ops"):
        program(name)


def test_one_on_path_is_taken(nothing_there: Path) -> None:
    """PATH comes before the download folder."""
    on_path = _put(nothing_there / "bin/promtool", "promtool, version 2.53.1 (branch: x)")
    _put(fetched("promtool"), "promtool, version 2.42.0")

    assert program("promtool") == on_path


@pytest.mark.parametrize(
    ("name", "says"),
    [("helm", "v4.1.0"), ("helm", "v3.2.1"), ("prometheus", "prometheus, version 2.24.1+ds"), ("chromium", "a snap")],
)
def test_a_version_that_will_not_do_is_passed_over(nothing_there: Path, name: str, says: str) -> None:
    """The message says what was found; a downloaded one in the right version is used instead."""
    _put(nothing_there / "bin" / name, says)
    with pytest.raises(ProgramMissing, match=f"bin/{name} is "):
        program(name)
    good = {"helm": "v3.19", "prometheus": "prometheus, version 2.42.0", "chromium": "Chromium 156.0"}
    downloaded = _put(fetched(name), good[name])

    assert program(name) == downloaded


def test_without_apt_the_fetch_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 and one message, on a system other than Debian."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert fetch.main([]) == 1
    assert "chromium and prometheus can be got by apt-get alone" in capsys.readouterr().err


def test_a_module_with_another_checksum_is_not_built(nothing_there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names both checksums. Here, Go is a script that prints what `go mod download` prints."""
    go = _put(nothing_there / "go", '{"Dir": "/", "Sum": "h1:changed="}')
    monkeypatch.setattr(golang, "go_command", lambda _: go)

    with pytest.raises(FetchFailed, match="checksum h1:changed=, pinned is h1:right="):
        golang.build(
            GoModule("example.org/module", "v1.0.0", ".", "h1:right="), nothing_there / "program", nothing_there
        )
    assert not (nothing_there / "program").exists()


def test_a_jar_with_another_checksum_is_not_kept(nothing_there: Path) -> None:
    """The error names both checksums. The right one is kept, under the name with its version."""
    jar = Jar("org/example/tool", "1.2.3", hashlib.sha256(b"right").hexdigest())
    read: list[str] = []

    with pytest.raises(FetchFailed, match=f"SHA-256 {hashlib.sha256(b'changed').hexdigest()}, pinned is {jar.sha256}"):
        maven.download(jar, nothing_there / "tool.jar", lambda url: b"changed")
    assert not list(nothing_there.glob("tool*"))
    maven.download(jar, nothing_there / "tool.jar", lambda url: read.append(url) or b"right")  # type: ignore[func-returns-value]
    assert (nothing_there / "tool.jar").read_bytes() == b"right"
    assert read == ["https://repo1.maven.org/maven2/org/example/tool/1.2.3/tool-1.2.3.jar"]
