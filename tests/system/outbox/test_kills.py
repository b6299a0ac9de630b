"""A product and the relay of its outbox are killed: the topic equals the product's table in the end.

Not each change is a record: the relay writes the newest one of an id. But the records of an id have the order of the
product's commits, and after a repeated record there is none of an older version.
"""

import os
from pathlib import Path

import pytest

from tests.system.outbox.kill_run import KillRun

pytestmark = pytest.mark.servers

KILLS = int(os.environ.get("OUTBOX_KILLS", "1"))
"""How often each of both processes is killed. `make soak` sets 100, and then there is a run on SQLite, too."""


@pytest.fixture(params=["postgresql", "sqlite"] if KILLS > 1 else ["postgresql"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        (tmp_path / "product.db").touch()
        return f"sqlite:///{tmp_path}/product.db"
    found: str = request.getfixturevalue("postgres_dsn")
    return found


def test_the_topic_equals_the_table(
    bootstrap: str, dsn: str, key_prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For each monitor: its last version, its versions in order, and one time of creation until it is deleted."""
    run = KillRun(bootstrap, dsn, key_prefix, tmp_path, seed=KILLS)
    try:
        run.start("product")
        run.start("relay")
        for _ in range(KILLS):
            run.kill_at_random("relay")
            run.kill_at_random("product")
        run.finish()
        run.judge()
    finally:
        run.close()
    with capsys.disabled():
        print(f"\n{dsn.partition(':')[0]}: {run.evidence}")
    assert run.evidence.kills == {"relay": KILLS, "product": KILLS}
    assert run.evidence.tombstones > 0
