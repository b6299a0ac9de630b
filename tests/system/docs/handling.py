"""How the tests handle each command of the documents. A command without a row in the table fails a test."""

import re
from dataclasses import dataclass

from tests.system.docs.blocks import Command


@dataclass(frozen=True)
class Run:
    """Run it to its end in the documented installation.

    Attributes:
        code: the exit code.
        says: a text that the output must contain, besides what the document shows.
        environ: added to the installation's environment.
    """

    code: int = 0
    says: str = ""
    environ: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Follow:
    """Start it in the documented installation, and end it once it has written a text."""

    says: str
    environ: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Setup:
    """The documented installation itself is made with it."""


@dataclass(frozen=True)
class Target:
    """A target of the Makefile: `make --dry-run` accepts it."""


@dataclass(frozen=True)
class Elsewhere:
    """Another test runs it: `path::function`."""

    test: str


@dataclass(frozen=True)
class NotRun:
    """No test runs it, for a reason."""

    reason: str


Handling = Run | Follow | Setup | Target | Elsewhere | NotRun

FRESH = (
    ("CLOCKSVC_TICK_LOG__TOPIC", "{prefix}-fresh-{number}"),
    ("CLOCKSVC_REDIS__PREFIX", "{prefix}-fresh-{number}"),
)
"""A new tick log and new keys: `init` is for a clock without a tick, and the installation's clock has some."""
ANY_PORT = (("CLOCKSVC_API__PORT", "0"),)

JOBS = Elsewhere("tests/system/beat/test_documented.py::test_every_command_is_valid")
TASK_WORKER = Elsewhere("tests/system/beat/test_task_worker.py::test_the_worker_follows_the_retry_state")
TASKBROKER = NotRun("it downloads and builds a Rust program; the tests have a small imitation of it")
README_JOBS = Elsewhere("tests/system/beat/test_documented.py::test_the_readmes_jobs")
SHOP = Elsewhere("tests/system/beat/test_example.py::test_the_shop")
ADOPTED = Elsewhere("tests/system/outages/test_second_installation.py::test_a_replaced_redis_waits_for_the_operator")
EXAMPLES_TESTS = Elsewhere("tests/system/docs/test_example_consumers.py::test_an_examples_own_tests_pass")
RECORDINGS = Elsewhere(
    "tests/system/docs/test_example_consumers.py::test_the_consumer_of_recordings_runs_on_real_servers"
)
CHECKINS = Elsewhere("tests/system/docs/test_example_consumers.py::test_the_consumer_of_checkins_runs_on_real_servers")
JAVA = Elsewhere("tests/system/ops/java/test_java_consumer.py::test_it_reports_through_rebalances")
MOVING = Elsewhere("tests/system/docs/test_moving_over.py::test_moved_over_without_a_lost_minute")
OUTBOX = Elsewhere("tests/system/outbox/test_kills.py::test_the_topic_equals_the_table")
SCHEDULE_ROUTES = Elsewhere("tests/unit/api/test_openapi_running.py::test_the_commands_of_the_document")
SCHEDULER = Elsewhere("tests/unit/cli/test_scheduler.py::test_a_schedule_is_due_at_a_tick")
OBSERVED = Elsewhere("tests/system/ops/docs/test_observed_groups.py::test_a_group_that_belongs_to_others_gets_a_clock")
WORK_DONE = Elsewhere("tests/system/ops/docs/test_observed_groups.py::test_a_tick_says_that_all_work_is_done")
PIPELINE = Elsewhere("tests/system/ops/docs/test_observed_groups.py::test_a_tick_says_that_all_is_in_the_warehouse")
SKIPPED = Elsewhere("tests/unit/cli/test_init_and_heartbeat.py::test_the_way_out_of_a_wrong_beginning")
COMPARED = Elsewhere("tests/system/docs/test_moving_over.py::test_compared_tick_by_tick")
DUE = Elsewhere("tests/system/docs/test_commands.py::test_workers_get_what_is_due")
OWN = Elsewhere("tests/system/docs/test_commands.py::test_the_guides_programs_write_schedules")
CRONTAB = Elsewhere("tests/system/docs/test_commands.py::test_the_commands_of_a_crontab_run")
INSTALLS = NotRun("it downloads; a test checks that the extras exist and that the clone is a package")
HELM = NotRun("there is no cluster; tests/system/ops/docs renders the chart with the same arguments")
KUBECTL = NotRun("there is no cluster; tests/system/ops/docs looks up the names in the rendered chart")
DOCKER = NotRun(
    "there is no container engine; test_containers.py looks up the names, tests/system/ops/container runs the "
    "containers' commands as processes"
)
KAFKAS_OWN = NotRun("Kafka's own tools are not in the tests' Kafka; written by their documentation")
NAMED = NotRun("it is only named; other places have it with its arguments")

RULES: list[tuple[str, str, Handling]] = [
    # document, command (regular expressions that match in full), handling; the first match counts
    (r"docs/jobs\.md", r"(celery|export|test) .*", JOBS),
    (r"docs/jobs\.md", r"python worker\.py", TASK_WORKER),
    (r"docs/jobs\.md", r"(git clone|TASKBROKER_KAFKA_CLUSTER=)[\s\S]*", TASKBROKER),
    (r"README\.md", r"celery -A shop .*", README_JOBS),
    (r"examples/shop/README\.md", r".*", SHOP),
    (r"examples/(recordings|checkins)/README\.md", r"(echo .*)?kafka-.*|echo .*", KAFKAS_OWN),
    (r"examples/(recordings|checkins)/README\.md", r"cd .*|python -m pytest", EXAMPLES_TESTS),
    (r"examples/recordings/README\.md", r"(clocksvc (serve|heartbeat|status)|python consumer\.py|find).*", RECORDINGS),
    (
        r"examples/checkins/README\.md",
        r"(export|clocksvc serve|python (checkins|consumer|missed)\.py).*",
        CHECKINS,
    ),
    (r"docs/moving-over\.md", r"(python compare\.py|redis-cli|clocksvc init) .*", MOVING),
    (r"docs/http\.md", r"curl .*/schedules\b[\s\S]*", SCHEDULE_ROUTES),
    (r"docs/curl\.md", r"curl -fsSN .*", Follow("event: tick")),
    (r"docs/curl\.md", r"curl .*/wait.* && \./nightly-job", Run(says="the job runs")),
    (r"docs/curl\.md", r"curl -sS -X POST .*/reports .*", Run(says='"outcome":')),
    (r"docs/curl\.md", r"curl -fsS .*/ticks\b.*", Run(says='"ticks":[')),
    (r"docs/curl\.md", r"curl -fsS .*", Run(says='{"')),
    (r"examples/java/README\.md", r"javac? .*", JAVA),
    (
        r"docs/(outbox|metrics)\.md",
        r"export CLOCKSVC_OUTBOX_DSN=.*|clocksvc outbox --clock \S+ --metrics-port \S+",
        OUTBOX,
    ),
    (r"docs/outbox\.md", r"clocksvc outbox", NAMED),
    (r".*", r"clocksvc clocks --from-groups", NAMED),
    (
        r"docs/committed-offsets\.md",
        r"(kafka-\S+ --bootstrap-server|echo|export|clocksvc (check|serve|status|wait|clocks)).*",
        OBSERVED,
    ),
    (r"docs/schedules\.md", r"clocksvc wait checks-done .*", WORK_DONE),
    (r"docs/pipelines\.md", r"(python|clocksvc (serve|status|wait) ?).*", PIPELINE),
    (r"docs/schedules\.md", r"python worker\.py", DUE),
    (r"docs/schedules\.md", r"python own\.py", OWN),
    (r"examples/crontab/README\.md", r"python worker\.py .*", CRONTAB),
    (r".*", r"clocksvc schedules import demo --crontab .* --dry-run", Run(says='"cron":"0 6 1,15 * 0,1,2,3,4,6"')),
    (r".*", r"clocksvc schedules import demo --crontab .*", Run(says="checkins: 4 schedules written")),
    (r".*", r"clocksvc schedules import demo schedules\.ndjson", Run(says="schedules written")),
    (r".*", r"clocksvc schedules export demo > schedules\.ndjson", Run()),
    (r".*", r"clocksvc schedules list (demo|checkins)( --(limit|prefix) \S+)?", Run()),
    (
        r".*",
        r"clocksvc schedules get demo acme:home --json \| python .* import demo -",
        Run(says="1 schedules written"),
    ),
    (r".*", r"clocksvc schedules (put|get) demo acme:home.*", Run(says="acme:home")),
    (r".*", r"clocksvc schedules missed (demo|CLOCK)", Run(says="checkins: no schedule has missed a run")),
    (r".*", r"clocksvc schedules (put|import|export|get|delete|list|missed)", NAMED),
    (r".*", r"make [\w-]+( [A-Z]+=(\S+|\"[^\"]*\"))*", Target()),
    (r".*", r"pip install .*", INSTALLS),
    (r"docs/quick-start\.md", r"python3 -m venv venv|\. venv/bin/activate", NotRun("the tests have an environment")),
    (
        r"docs/quick-start\.md",
        r"(export|clocksvc check|clocksvc serve|python topic\.py|python consumer\.py).*",
        Setup(),
    ),
    (r".*", r"python -c .*", Run()),
    (r".*", r"clocksvc (serve|scheduler)", Setup()),
    (r".*", r"(CLOCKSVC_CONFIG=clocksvc\.yaml )?celery -A clocksvc (worker|beat)( --loglevel INFO)?", Setup()),
    (
        r".*",
        r"clocksvc init( --skip-ticks)?|clocksvc wait … && \./job|celery beat|celery -A clocksvc|helm (test|uninstall)",
        NAMED,
    ),
    (r"docs/production\.md", r"celery -A clocksvc worker --concurrency 2 .*", Follow("concurrency: 2 (prefork)")),
    (r".*", r"clocksvc --version", Run(says="clocksvc ")),
    (r".*", r"export CLOCKSVC_URL=.*|export PATH=.*", Run()),
    (r".*", r"clocksvc check( --config clocksvc\.yaml)?", Run(says="configuration")),
    (r"README\.md", r"clocksvc serve --config clocksvc\.yaml", Follow("serving", ANY_PORT)),
    (r".*", r"clocksvc status checkins-trial", COMPARED),
    (r".*", r"clocksvc status( checkins| CLOCK)?", Run(says="running")),
    (r".*", r"clocksvc status --status holding,catching_up", Run(says=" clocks: ")),
    (r".*", r"clocksvc status --(search checkins --all|json)", Run(says="checkins")),
    (r".*", r"clocksvc heartbeat( CLOCK)?", Run(says="checkins")),
    (r".*", r"clocksvc (exclude|include) CLOCK TOPIC:PARTITION --reason \"…\"", Run(says="ingest-checkins:3")),
    (r".*", r"clocksvc (pause|resume) CLOCK --reason (…|\"[^\"]+\")", Run(says="checkins")),
    (r".*", r"clocksvc init --adopt-tick-log", ADOPTED),
    (r".*", r"clocksvc init CLOCK --last-tick T --skip-ticks.*", SKIPPED),
    (r".*", r"clocksvc init CLOCK --last-tick T", Run(says="checkins", environ=FRESH)),
    (r".*", r"clocksvc tail checkins", Follow("  tick ")),
    (r".*", r"clocksvc tail checkins --exec '\./nightly-job \{time\}' .*", Follow("the job runs")),
    (r".*", r"clocksvc wait checkins --until \S+ && \./nightly-job", Run(says="the job runs")),
    (r".*", r"clocksvc wait checkins --until \S+ && echo .*", Run(says="everything before noon")),
    (r".*", r"clocksvc (exclude|include) checkins ingest-checkins:3 --reason .*", Run(says="ingest-checkins:3")),
    (r"docs/operations\.md", r"clocksvc init checkins --last-tick \S+", Run(says="checkins", environ=FRESH)),
    (r".*", r"curl -f 'localhost:8080/v1/clocks/checkins/wait.* && \./nightly-job", Run(says="the job runs")),
    (r".*", r"curl -N '?localhost:8080/v1/clocks/checkins/ticks/stream.*", Follow("event: tick")),
    (r".*", r"curl -X POST localhost:8080/v1/clocks/checkins/(reports|exclusions) .*", Run()),
    (r"docs/http\.md", r"curl localhost:8080/v1/clocks/checkins/partitions/brief", Run()),
    (r"docs/http\.md", r"curl 'localhost:8080/v1/clocks\?order=worst.*", Run()),
    (r"docs/production\.md", r"kafka-configs\.sh .*", Run(says="Completed updating config")),
    (r".*", r"redis-cli config set .*", Run(says="OK")),
    (r".*", r"redis-cli info memory", Run(says="maxmemory_policy")),
    (r".*", r"redis-cli info replication", Run(says="master")),
    (r".*", r"redis-cli unlink .*", Elsewhere("tests/system/docs/test_commands.py::test_the_keys_of_a_clock_may_go")),
    (r".*", r"curl -s HOST:PORT/readyz", Run(says="ready")),
    (r".*", r"curl HOST:PORT/v1/clocks/CLOCK", Run(says='"clock":"checkins"')),
    (r".*", r"date -u|openssl rand -hex 32", Run()),
    (r".*", r"chronyc tracking", NotRun("not every machine has this program")),
    (r".*", r"kafka-(cluster|console-consumer|consumer-groups|get-offsets|topics|transactions)\.sh .*", KAFKAS_OWN),
    (
        r"helm/.*",
        r"python -m helm\.dashboards",
        Elsewhere("tests/unit/helm/test_fresh.py::test_another_process_writes_the_same"),
    ),
    (
        r"CONTRIBUTING\.md",
        r"python -m release\.version \S+",
        Elsewhere("tests/unit/test_release.py::test_a_version_is_written_everywhere"),
    ),
    (
        r"CONTRIBUTING\.md",
        r"python -m release\.notes",
        Elsewhere("tests/unit/test_release.py::test_the_notes_are_the_part_of_a_version"),
    ),
    (r".*", r"helm .*", HELM),
    (r".*", r"kubectl .*", KUBECTL),
    (r".*", r"docker .*", DOCKER),
]


def handling(command: Command) -> Handling | None:
    """How a command is handled; None without a row."""
    found = rule(command)
    return None if found is None else RULES[found][2]


def rule(command: Command) -> int | None:
    """The index of a command's row."""
    for index, (document, text, _) in enumerate(RULES):
        if re.fullmatch(document, command.document) and re.fullmatch(text, command.text, re.DOTALL):
            return index
    return None
