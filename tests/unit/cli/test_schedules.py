"""`clocksvc schedules …`: output and exit codes, with a small imitation of the service."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from clocksvc.cli.main import main
from clocksvc.client import http_schedules
from tests.http_stub import Asked, HttpStub, Reply, problem

pytestmark = pytest.mark.core

PATH = "/v1/clocks/checkins/schedules"
CREATED = "2026-11-22T12:00:00Z"
CHECK = {"interval": "60s", "task": "uptime.check"}
Captured = pytest.CaptureFixture[str]


class Service:
    """The routes of schedules, with a dict. An interval of `0s` is not valid."""

    def __init__(self) -> None:
        self.schedules: dict[str, dict[str, Any]] = {}
        self.missed: list[dict[str, Any]] = []
        self.is_ready = True
        self.refused = 0
        self.page = 2

    def answer(self, asked: Asked) -> Reply:
        """Answer a request."""
        self.refused -= 1
        if not self.is_ready or self.refused >= 0:
            return problem(503, "schedules-unavailable", "no ready owner")
        if asked.path == f"{PATH}/missed-runs":
            return Reply(200, {"missed_runs": self.missed, "next": None})
        if asked.path == PATH and asked.method == "POST":
            lines = [self._write(line.pop("id"), line) for line in asked.body]
            return Reply(200, parts=[json.dumps(line).encode() + b"\n" for line in lines])
        if asked.path == PATH:
            return self._list(asked)
        name = asked.path.rpartition("/")[2]
        if asked.headers.get("if-match") not in (None, etag(self.schedules.get(name))):
            return problem(412, "precondition-failed", "has another ETag")
        if asked.method == "PUT":
            written = self._write(name, asked.body)
            return Reply(200, written, headers={"ETag": written["etag"]})
        if name not in self.schedules:
            return problem(404, "unknown-schedule")
        if asked.method == "DELETE":
            del self.schedules[name]
            return Reply(200, {"id": name, "partition": 0, "offset": 8})
        return Reply(200, {"id": name, **self.schedules[name]}, headers={"ETag": etag(self.schedules[name])})

    def _write(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("deleted"):
            self.schedules.pop(name, None)
            return {"id": name, "status": 200, "partition": 0, "offset": 8}
        if fields.get("interval") == "0s":
            return {"id": name, "status": 422, "detail": "interval: '0s' is not valid"}
        self.schedules[name] = {"created_at": CREATED, **fields}
        return {"id": name, "status": 200, "partition": 0, "offset": 7, "etag": etag(self.schedules[name])}

    def _list(self, asked: Asked) -> Reply:
        after, prefix = asked.query.get("after", ""), asked.query.get("prefix", "")
        found = sorted(name for name in self.schedules if name > after and name.startswith(prefix))
        bodies = [{"id": name, **self.schedules[name]} for name in found]
        if "ndjson" in asked.headers["accept"]:
            return Reply(200, parts=[json.dumps(body, ensure_ascii=False).encode() + b"\n" for body in bodies])
        page = found[: self.page]
        tags = [etag(self.schedules[name]) for name in page]
        following = page[-1] if len(found) > len(page) else None
        return Reply(200, {"schedules": bodies[: self.page], "etags": tags, "next": following})


def etag(fields: dict[str, Any] | None) -> str:
    """An ETag of a schedule; "" for none."""
    return "" if fields is None else f'"{crc32(json.dumps(fields).encode()):08x}"'


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The service, with its address in the environment."""
    service = Service()
    with HttpStub(service.answer) as stub:
        monkeypatch.setenv("CLOCKSVC_URL", stub.url)
        monkeypatch.delenv("CLOCKSVC_TOKEN", raising=False)
        yield service


def schedules(*arguments: object) -> int:
    """Run a command, and return its exit code."""
    action, *rest = map(str, arguments)
    return main(["schedules", action, "checkins", *rest])


def test_put_get_and_delete(service: Service, capsys: Captured) -> None:
    """One schedule, with all of its fields."""
    given = ("--cron", "30 2 * * mon-fri", "--timezone", "Europe/Berlin", "--task", "shop.bills", "--catch-up", "last")
    more = ("--max-age", "1h", "--payload", '{"a": [1]}', "--starts-at", CREATED, "--ends-at", "2027-01-01T00:00:00Z")
    assert schedules("put", "acme:1", *given, *more, "--paused") == 0
    expected = {
        "cron": "30 2 * * mon-fri",
        "timezone": "Europe/Berlin",
        "task": "shop.bills",
        "starts_at": CREATED,
        "ends_at": "2027-01-01T00:00:00Z",
        "catch_up": "last",
        "max_age": "1h",
        "payload": {"a": [1]},
        "paused": True,
        "created_at": CREATED,
    }
    assert service.schedules == {"acme:1": expected}
    tag = etag(service.schedules["acme:1"])
    assert capsys.readouterr().out == f"checkins: acme:1 written (partition 0, offset 7, ETag {tag})\n"

    assert schedules("get", "acme:1") == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (shown["id"], shown["cron"], shown["payload"], shown["etag"]) == (
        "acme:1",
        "30 2 * * mon-fri",
        '{"a": [1]}',
        tag,
    )
    assert schedules("get", "acme:1", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"id": "acme:1", **expected}

    assert schedules("delete", "acme:1") == 0
    assert capsys.readouterr().out == "checkins: acme:1 deleted (partition 0, offset 8)\n"
    assert service.schedules == {}


@pytest.mark.usefixtures("service")
def test_as_json(capsys: Captured) -> None:
    """Partition, offset and ETag."""
    assert schedules("put", "a", "--interval", "60s", "--task", "uptime.check", "--json") == 0
    put = json.loads(capsys.readouterr().out)
    assert schedules("delete", "a", "--if-match", put["etag"], "--json") == 0

    assert set(put) == {"id", "partition", "offset", "etag"}
    assert json.loads(capsys.readouterr().out) == {"id": "a", "partition": 0, "offset": 8}


@pytest.mark.parametrize("quote", ['"', ""])
def test_an_etag_with_and_without_quotation_marks(service: Service, quote: str, capsys: Captured) -> None:
    """A shell removes them. Both are the same condition, for `put` and `delete`."""
    service.schedules = {"a": dict(CHECK)}
    tag = etag(service.schedules["a"]).strip('"')
    put = ("put", "a", "--interval", "300s", "--task", "a.b", "--if-match")

    assert schedules(*put, f"{quote}other{quote}") == 1
    assert "has another ETag" in capsys.readouterr().err
    assert schedules(*put, f"{quote}{tag}{quote}") == 0
    tag = etag(service.schedules["a"]).strip('"')
    assert schedules("delete", "a", "--if-match", f"{quote}{tag}{quote}") == 0
    assert service.schedules == {}


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("get", "a"), "clock 'checkins' has no schedule 'a'"),
        (("delete", "a"), "clock 'checkins' has no schedule 'a'"),
        (("put", "a", "--interval", "60s", "--task", "a.b", "--if-match", '"x"'), "has another ETag"),
        (
            ("put", "a", "--interval", "60s", "--task", "a.b", "--payload", "{"),
            "--payload: '{' is not valid: wanted JSON",
        ),
        (("get", "not/valid"), "id: 'not/valid' is not valid"),
        (("import",), "FILE: missing: wanted either a file of JSON lines, or --crontab"),
        (("import", "/no/such/file"), "FILE: '/no/such/file' is not valid: can't be read: No such file or directory"),
        (("import", "x", "--prune"), "schedules: --prune is an option of --crontab, which is missing"),
        (
            ("import", "--crontab", "x", "--timezone", "UTC", "--task", "a.b"),
            "--prefix: missing: wanted with --crontab",
        ),
        (("import", "--crontab", "x"), "--timezone: missing: wanted with --crontab"),
        (
            ("import", "--crontab", "x", "--timezone", "UTC", "--task", "a.b", "--prefix", "shop"),
            "--prefix: 'shop' is not valid: wanted one of . _ : - at the end",
        ),
        (
            ("import", "--crontab", "x", "--timezone", "Europe/Berln", "--task", "a.b", "--prefix", "shop:"),
            "--timezone: 'Europe/Berln' is not valid: wanted a time zone",
        ),
    ],
)
def test_errors(arguments: tuple[str, ...], says: str, capsys: Captured) -> None:
    """One line on stderr, and exit code 1."""
    assert schedules(*arguments) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("clocksvc schedules: ")
    assert says in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["put", "checkins", "a"],
        ["put", "checkins", "a", "--task", "a.b"],
        ["put", "checkins", "a", "--task", "a.b", "--interval", "60s", "--cron", "* * * * *"],
        ["frobnicate", "checkins"],
        ["get", "checkins"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    """Exit code 2."""
    assert main(["schedules", *arguments]) == 2


def test_list(service: Service, capsys: Captured) -> None:
    """When each is due, in a table, page by page; or as JSON."""
    service.schedules = {f"acme:{number}": dict(CHECK) for number in range(3)}
    service.schedules["acme:2"] = {"cron": "0 2 * * *", "timezone": "Asia/Tokyo", "task": "shop.bills", "paused": True}
    service.schedules["zeta:1"] = dict(CHECK)

    assert schedules("list", "--prefix", "acme:") == 0
    assert capsys.readouterr().out.splitlines() == [
        "ID      WHEN                    TASK          STATE",
        "acme:0  every 60s               uptime.check  active",
        "acme:1  every 60s               uptime.check  active",
        "acme:2  0 2 * * * (Asia/Tokyo)  shop.bills    paused",
    ]
    assert schedules("list", "--after", "acme:0", "--limit", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"id": "acme:1", **CHECK}
    assert schedules("list", "--prefix", "none") == 0
    assert capsys.readouterr().out == "checkins: no schedules with the prefix none\n"


def test_missed(service: Service, capsys: Captured) -> None:
    """The runs, with their reason; or as JSON."""
    assert schedules("missed") == 0
    assert capsys.readouterr().out == "checkins: no schedule has missed a run\n"
    service.missed = [
        {
            "id": "acme:1",
            "due": "2026-11-22T12:00:00Z",
            "last_due": "2026-11-22T12:09:00Z",
            "runs": 10,
            "reason": "expired",
            "tick": "2026-11-22T13:00:00Z",
        }
    ]

    assert schedules("missed") == 0
    assert capsys.readouterr().out.splitlines() == [
        "ID      FIRST DUE             LAST DUE              RUNS  REASON   TICK",
        "acme:1  2026-11-22T12:00:00Z  2026-11-22T12:09:00Z  10    expired  2026-11-22T13:00:00Z",
    ]
    assert schedules("missed", "--json") == 0
    assert json.loads(capsys.readouterr().out) == service.missed[0]


def test_export_can_be_imported(
    service: Service, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all fields, and the same numbers to the last digit. From a file, and from stdin."""
    service.schedules = {f"acme:{number}": {**CHECK, "payload": {"u": "\x9b"}} for number in range(5)}
    before = {name: dict(fields, created_at=CREATED) for name, fields in service.schedules.items()}
    assert schedules("export", "--prefix", "acme:") == 0
    exported = capsys.readouterr().out
    assert exported.isascii()
    file = tmp_path / "schedules.ndjson"
    file.write_text(exported)
    service.schedules = {}

    assert schedules("import", file) == 0
    assert capsys.readouterr().out == "checkins: 5 schedules written\n"
    assert service.schedules == before

    service.schedules = {}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(exported.encode())))
    assert schedules("import", "-") == 0
    assert service.schedules == before


def test_lines_that_fail_are_named(service: Service, tmp_path: Path, capsys: Captured) -> None:
    """With their numbers, those of the service and those that are no schedules. All others are written; exit code 1."""
    lines = [
        {"id": "a", **CHECK},
        {"id": "b", **CHECK, "interval": "0s"},
        {"id": "not valid!", **CHECK},
        {"no": "id"},
        {"id": "c", **CHECK},
    ]
    file = tmp_path / "schedules.ndjson"
    file.write_text("\n\n".join(map(json.dumps, lines)) + "\n{broken\n")

    assert schedules("import", file) == 1
    captured = capsys.readouterr()
    assert set(service.schedules) == {"a", "c"}
    assert captured.out == "checkins: 2 schedules written, 4 lines failed\n"
    reported = dict(line.removeprefix(f"{file}:").split(": ", 1) for line in captured.err.splitlines())
    assert set(reported) == {"3", "5", "7", "10"}
    assert "interval: '0s' is not valid" in reported["3"]
    assert "wanted a JSON object with an id" in reported["7"]

    assert schedules("import", file, "--json") == 1
    outcomes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["line"] for one in outcomes if "error" in one} == {3, 5, 7, 10}
    assert {one["line"]: one["offset"] for one in outcomes if "offset" in one} == {1: 7, 9: 7}


@pytest.mark.parametrize("text", ["# a product's\n0 1 * * * a\n", "\n0 1 * * * a\n", '[\n{"id": "a"},\n', '"a"\n'])
def test_a_file_in_another_format_has_one_error(service: Service, text: str, tmp_path: Path, capsys: Captured) -> None:
    """With the option for a crontab. Nothing is written."""
    file = tmp_path / "crontab"
    file.write_text(text + json.dumps({"id": "a", **CHECK}) + "\n")

    assert schedules("import", file) == 1
    captured = capsys.readouterr()
    wanted = "wanted one JSON object a line, but its first line is none; import a crontab with --crontab"
    assert captured.err == f"clocksvc schedules: FILE: '{file}' is not valid: {wanted}\n"
    assert (captured.out, service.schedules) == ("", {})


def test_a_byte_order_mark_is_no_part_of_the_first_line(service: Service, tmp_path: Path) -> None:
    """As some editors write it."""
    file = tmp_path / "schedules.ndjson"
    file.write_text(json.dumps({"id": "a", **CHECK}) + "\n", encoding="utf-8-sig")

    assert schedules("import", file) == 0
    assert set(service.schedules) == {"a"}


CRONTAB = """\
# a product's
MAILTO=ops@example.com
30 2 * * mon-fri /opt/bills
@reboot /opt/start
0 6 1,15 * 5 /opt/report
"""
OPTIONS = ("--timezone", "Europe/Berlin", "--task", "cron.run", "--prefix", "shop:")


def test_a_crontab_is_imported(service: Service, tmp_path: Path, capsys: Captured) -> None:
    """Repeatable: the same ids. A line that can't be a schedule is named."""
    file = tmp_path / "crontab"
    file.write_text(CRONTAB)

    assert schedules("import", "--crontab", file, *OPTIONS, "--catch-up", "last") == 1
    captured = capsys.readouterr()
    assert captured.out == "checkins: 3 schedules written, 1 lines failed\n"
    assert captured.err.startswith(f"{file}:4: cron: '@reboot' is not valid")
    first = dict(service.schedules)
    assert sorted(fields["cron"] for fields in first.values()) == [
        "0 6 * * 5",
        "0 6 1,15 * 0,1,2,3,4,6",
        "30 2 * * mon-fri",
    ]
    assert {(fields["task"], fields["timezone"], fields["catch_up"]) for fields in first.values()} == {
        ("cron.run", "Europe/Berlin", "last")
    }

    assert schedules("import", "--crontab", file, *OPTIONS, "--catch-up", "last") == 1
    assert service.schedules == first


def test_an_import_replaces_schedules_as_a_whole(service: Service, tmp_path: Path, capsys: Captured) -> None:
    """Also one that was paused by hand, as the help says."""
    file = tmp_path / "crontab"
    file.write_text("0 1 * * * /opt/only\n")
    assert schedules("import", "--crontab", file, *OPTIONS) == 0
    (before,) = service.schedules.values()
    (name,) = service.schedules
    service.schedules = {name: {**before, "paused": True, "max_age": "1h"}}

    assert schedules("import", "--crontab", file, *OPTIONS) == 0
    assert service.schedules == {name: before}
    capsys.readouterr()
    assert schedules("import", "--help") == 0
    assert "also one that was paused or changed by hand" in " ".join(capsys.readouterr().out.split())


def test_a_wrong_time_zone_in_a_crontab(service: Service, tmp_path: Path, capsys: Captured) -> None:
    """One line on stderr, for the setting. All lines that are not written count as failed."""
    file = tmp_path / "crontab"
    file.write_text("0 1 * * * a\nCRON_TZ=Europe/Berln\n0 2 * * * b\n0 3 * * * c\n")

    assert schedules("import", "--crontab", file, *OPTIONS) == 1
    captured = capsys.readouterr()
    assert captured.out == "checkins: 1 schedules written, 3 lines failed\n"
    (error,) = captured.err.splitlines()
    assert error.startswith(f"{file}:2: CRON_TZ: 'Europe/Berln' is not valid: ")
    assert error.endswith("; the 2 lines after it are not written")
    assert len(service.schedules) == 1


def test_a_dry_run_writes_nothing(service: Service, tmp_path: Path, capsys: Captured) -> None:
    """It prints lines that `import` accepts, and the counts on stderr."""
    file = tmp_path / "crontab"
    file.write_text(CRONTAB)
    assert schedules("import", "--crontab", file, *OPTIONS, "--dry-run") == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 3
    assert captured.err.splitlines()[1:] == [
        "checkins: 3 schedules would be written, 1 lines failed; a dry run changes nothing"
    ]
    file.write_text(CRONTAB.replace("@reboot", "@daily"))
    assert schedules("import", "--crontab", file, *OPTIONS, "--dry-run") == 0
    printed = tmp_path / "printed"
    printed.write_text(capsys.readouterr().out)
    assert service.schedules == {}

    assert schedules("import", printed) == 0
    by_lines = dict(service.schedules)
    service.schedules = {}
    assert schedules("import", "--crontab", file, *OPTIONS) == 0
    assert service.schedules == by_lines


def test_prune_deletes_what_is_gone(service: Service, tmp_path: Path, capsys: Captured) -> None:
    """Of this prefix alone, and nothing if a line has failed or the crontab is empty."""
    file = tmp_path / "crontab"
    service.schedules = {"shop:old": dict(CHECK), "shop2:x": dict(CHECK), "other": dict(CHECK)}

    file.write_text(CRONTAB)
    assert schedules("import", "--crontab", file, *OPTIONS, "--prune") == 1
    assert "nothing is deleted, because some lines were not written" in capsys.readouterr().err
    file.write_text("# nothing\n")
    assert schedules("import", "--crontab", file, *OPTIONS, "--prune") == 0
    assert "nothing is deleted, because the crontab has no schedules" in capsys.readouterr().err
    assert "shop:old" in service.schedules

    file.write_text("0 1 * * * /opt/only\n")
    assert schedules("import", "--crontab", file, *OPTIONS, "--prune") == 0
    assert capsys.readouterr().out == "checkins: 1 schedules written, 4 deleted\n"
    assert {name.partition(":")[0] for name in service.schedules} == {"shop", "shop2", "other"}
    assert len(service.schedules) == 3


def test_a_dry_run_shows_what_prune_would_delete(service: Service, tmp_path: Path, capsys: Captured) -> None:
    """How many, and the first ids. Nothing if a line fails. No schedule changes."""
    file = tmp_path / "crontab"
    before = {f"shop:{number:02}": dict(CHECK) for number in range(12)} | {"shop2:x": dict(CHECK)}
    service.schedules = dict(before)
    arguments = ("import", "--crontab", file, *OPTIONS, "--prune", "--dry-run")

    file.write_text(CRONTAB)
    assert schedules(*arguments) == 1
    assert "nothing would be deleted, because some lines would not be written" in capsys.readouterr().err

    file.write_text("0 1 * * * /opt/only\n")
    assert schedules(*arguments) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert captured.err.splitlines() == [
        "clocksvc schedules: would delete 12: first ids " + ", ".join(f"shop:{number:02}" for number in range(10)),
        "checkins: 1 schedules would be written, 12 would be deleted; a dry run changes nothing",
    ]

    del service.schedules["shop:00"], service.schedules["shop:01"]
    assert schedules(*arguments) == 0
    assert "would delete 10: shop:02, shop:03," in capsys.readouterr().err
    assert {"shop:00", "shop:01"} == before.keys() - service.schedules.keys()


def test_an_import_without_a_service_says_how_far_it_came(
    service: Service, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that it is safe to import all again."""
    monkeypatch.setattr("clocksvc.client.schedules.TIMEOUT_S", 0.2)
    file = tmp_path / "schedules.ndjson"
    file.write_text("".join(json.dumps({"id": f"a{number}", **CHECK}) + "\n" for number in range(1_500)))
    writes = service.answer

    def once(asked: Asked) -> Reply:
        reply = writes(asked)
        service.is_ready = False
        return reply

    monkeypatch.setattr(service, "answer", once)
    with HttpStub(lambda asked: service.answer(asked)) as stub:
        monkeypatch.setenv("CLOCKSVC_URL", stub.url)
        assert schedules("import", file) == 1

    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("clocksvc schedules: lines up to 1,000 are written, others may be. It is safe")
    assert errors[1].startswith("clocksvc schedules: ")
    assert "no ready owner" in errors[1]


def test_an_import_that_is_rejected_has_one_error(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the cause, and what to do."""
    file = tmp_path / "schedules.ndjson"
    file.write_text(json.dumps({"id": "a", **CHECK}) + "\n")
    with HttpStub(lambda asked: problem(401, "unauthenticated", "wanted a token")) as stub:
        monkeypatch.setenv("CLOCKSVC_URL", stub.url)
        assert schedules("import", file) == 1

    (error,) = capsys.readouterr().err.splitlines()
    assert error.endswith("wanted a token (status 401); set CLOCKSVC_TOKEN to one of the service's tokens")


@pytest.mark.parametrize("arguments", [("put", "a", "--interval", "60s", "--task", "a.b"), ("list",), ("missed",)])
def test_a_wait_for_a_scheduler_is_shown_once(
    arguments: tuple[str, ...], service: Service, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """On stderr, with the reason; with `--json`, only in a terminal. Not if it is short."""
    monkeypatch.setattr(http_schedules, "REPORTED_WAIT_S", 0.0)

    service.refused = 2
    assert schedules(*arguments) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("clocksvc schedules: ")
    assert "no ready owner" in line
    assert line.endswith("; trying again for up to 30 s")

    service.refused = 1
    assert schedules(*arguments, "--json") == 0
    assert capsys.readouterr().err == ""

    monkeypatch.setattr(http_schedules, "REPORTED_WAIT_S", 2.0)
    service.refused = 1
    assert schedules(*arguments) == 0
    assert capsys.readouterr().err == ""
