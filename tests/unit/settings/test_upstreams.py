"""Clocks from committed offsets, and their upstream clocks: what loads, and which errors name what is wrong."""

from typing import Any

import pytest

from clocksvc.clock.spec import Source, UpstreamSpec
from clocksvc.settings import Settings, settings_from
from tests.unit.settings.sample_config import file_reader, problems_of

pytestmark = pytest.mark.core

RAW: dict[str, Any] = {"topics": ["raw"], "group": "cleaner"}
CLEAN: dict[str, Any] = {"topics": ["clean"], "group": "loader", "source": "committed"}
OTHER = "https://clocksvc.other"


def settings_of(environ: dict[str, str] | None = None, **clocks: Any) -> Settings:
    """Load clocks, and a token file."""
    return settings_from({"clocks": clocks}, environ or {}, file_reader({"/run/token": "t" * 16}))


def errors_of(**clocks: Any) -> tuple[str, ...]:
    """The problems of these clocks."""
    return problems_of({"clocks": clocks})


def test_four_lines_are_a_clock_from_committed_offsets() -> None:
    """The defaults: polled every 5 s, drained 10 s later, no heartbeats, and no upstream clocks."""
    spec = settings_of(clean=CLEAN).clock_spec("clean")

    assert (spec.source, spec.after, spec.poll_ms, spec.drain_delay_ms) == (Source.COMMITTED, (), 5_000, 15_000)
    assert spec.heartbeat is None


def test_a_null_heartbeat_and_other_times_are_valid() -> None:
    """What is already the default may be written, too."""
    spec = settings_of(clean={**CLEAN, "heartbeat": None, "poll": "1s", "drain_delay": "1m"}).clock_spec("clean")

    assert (spec.heartbeat, spec.poll_ms, spec.drain_delay_ms) == (None, 1_000, 60_000)


def test_upstream_clocks_are_names_or_clocks_of_another_service() -> None:
    """The token is a secret of the settings, which the spec does not contain."""
    after = ["raw", {"clock": "raw", "url": f"{OTHER}/", "token_file": "/run/token"}]
    settings = settings_of(raw=RAW, clean={**CLEAN, "after": after})

    assert settings.clock_spec("clean").after == (UpstreamSpec("raw"), UpstreamSpec("raw", OTHER))
    assert settings.upstream_tokens() == {UpstreamSpec("raw", OTHER): "t" * 16}
    assert "t" * 16 not in repr(settings)


@pytest.mark.parametrize(
    "environ",
    [
        {"CLOCKSVC_CLOCKS__CLEAN__AFTER": "raw, more"},
        {"CLOCKSVC_CLOCKS__CLEAN__AFTER": "[raw, {clock: more}]"},
        {"CLOCKSVC_CLOCKS__CLEAN__AFTER__0": "raw", "CLOCKSVC_CLOCKS__CLEAN__AFTER__1__CLOCK": "more"},
    ],
)
def test_upstream_clocks_in_the_environment(environ: dict[str, str]) -> None:
    """With commas, as YAML, or by number."""
    settings = settings_of(environ, raw=RAW, more=RAW, clean=CLEAN)

    assert settings.clock_spec("clean").after == (UpstreamSpec("raw"), UpstreamSpec("more"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"source": "offsets"}, "clocks.clean.source: 'offsets' is not valid: wanted 'reports' or 'committed'"),
        ({"poll": "500ms"}, "clocks.clean.poll: '0.5s' is not valid: wanted 1s to 60s"),
        ({"poll": "61s"}, "clocks.clean.poll: '61s' is not valid: wanted 1s to 60s"),
        ({"drain_delay": "61m"}, "clocks.clean.drain_delay: '3660s' is not valid: wanted 0s to 1h"),
        (
            {"heartbeat": {}},
            "clocks.clean.heartbeat: a mapping is not valid: wanted null, because a clock with source: committed moves "
            "quiet partitions without heartbeats",
        ),
        (
            {"max_drift": "1h"},
            "clocks.clean.max_drift: '3600s' is not valid: wanted source: reports, because only consumers with a "
            "Reporter pause their partitions",
        ),
        ({"after": "raw"}, "clocks.clean.after: the value (not shown) is not valid: wanted a list"),
        ({"after": [7]}, "clocks.clean.after.0: the value (not shown) is not valid: wanted fields, or nothing"),
        ({"after": [{"url": OTHER}]}, "clocks.clean.after.0.clock: missing: wanted the name of a clock"),
        ({"after": ["clean"]}, "clocks.clean.after.0.clock: 'clean' is not valid: wanted another clock than this one"),
        ({"after": ["raw", "raw"]}, "clocks.clean.after.1.clock: 'raw' is not valid: wanted each clock once"),
        (
            {"after": [{"clock": "raw", "url": OTHER}, {"clock": "raw", "url": f"{OTHER}/"}]},
            f"clocks.clean.after.1.clock: 'raw@{OTHER}' is not valid: wanted each clock once",
        ),
        (
            {"after": ["row"]},
            "clocks.clean.after.0.clock: 'row' is not valid: wanted one of raw, clean, or {clock, url} for a clock of "
            "another service",
        ),
        (
            {"after": [{"clock": "raw", "url": "clocksvc.other"}]},
            "clocks.clean.after.0.url: 'clocksvc.other' is not valid: wanted http://host:port or https://host:port, "
            "without user, query or fragment",
        ),
        (
            {"after": [{"clock": "raw", "token": "secret-secret-secret"}]},
            "clocks.clean.after.0.url: missing: wanted the address of the service to which the token belongs",
        ),
        (
            {"after": ["raw"], "max_out_of_orderness": "5s"},
            "clocks.clean.max_out_of_orderness: '5s' is not valid: wanted null, because timestamps don't count for a "
            "clock after other clocks",
        ),
        (
            {"after": ["raw"], "interval": "90s"},
            "clocks.clean.interval: '90s' is not valid: wanted a multiple of 60s, the interval of the upstream clock "
            "raw",
        ),
    ],
)
def test_an_impossible_clock_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    """One problem, with the field's path and what would be right."""
    (found,) = errors_of(raw=RAW, clean={**CLEAN, **fields})

    assert found.startswith(problem)


def test_reports_have_no_upstream_clocks_and_no_poll() -> None:
    """Fields without an effect are problems: the user has probably forgotten `source: committed`."""
    (after,) = errors_of(raw=RAW, clean={**CLEAN, "source": "reports", "after": ["raw"]})
    times = errors_of(clean={**RAW, "poll": "5s", "drain_delay": "10s"})

    assert "clocks.clean.after" in after
    assert "wanted source: committed" in after
    assert [problem.split(":")[0] for problem in times] == ["clocks.clean.poll", "clocks.clean.drain_delay"]
    assert all("wanted source: committed" in problem for problem in times)


def test_cycles_are_named_in_full() -> None:
    """Once for each cycle, also if other clocks lead to it."""
    clocks = {name: {**CLEAN, "after": [after]} for name, after in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"))}

    clocks |= {"x": {**CLEAN, "after": ["y", "a"]}, "y": {**CLEAN, "after": ["x"]}}

    assert errors_of(**clocks) == (
        "clocks.a.after: wanted no cycle: a -> b -> c -> a",
        "clocks.x.after: wanted no cycle: x -> y -> x",
    )


def test_a_diamond_is_no_cycle() -> None:
    """Two stages after one, and one after both."""
    clocks = {name: {**CLEAN, "after": after} for name, after in (("b", ["a"]), ("c", ["a"]), ("d", ["b", "c"]))}

    assert settings_of(a=RAW, **clocks).clock_spec("d").after == (UpstreamSpec("b"), UpstreamSpec("c"))


def test_committed_offsets_need_topic_ids() -> None:
    """Without them, offsets that were committed for a former topic would count for its successor."""
    (found,) = problems_of({"kafka": {"topic_ids": "off"}, "clocks": {"clean": CLEAN, "raw": RAW}})

    assert found.startswith("clocks.clean.source: 'committed' is not valid: wanted kafka.topic_ids: on")


def test_the_lists_of_upstream_clocks_are_bounded() -> None:
    """Because each record of the tick log contains them."""
    many = [{"clock": f"raw-{number}", "url": OTHER} for number in range(33)]
    long = [{"clock": "raw", "url": f"{OTHER}/{'a' * 300}"}]

    assert "wanted at most 32 clocks" in errors_of(clean={**CLEAN, "after": many})[0]
    assert "wanted at most 255 characters" in errors_of(clean={**CLEAN, "after": long})[0]
