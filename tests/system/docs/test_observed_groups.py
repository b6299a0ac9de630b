"""The pages about committed offsets and pipelines. Their commands run in the documented order, on real servers."""

from collections.abc import Iterator

import pytest

from tests.system.docs.documented_installation import DocumentedInstallation
from tests.system.docs.observed_groups import a_clock_for_a_group, a_pipeline, observed_groups, start, work_done

pytestmark = pytest.mark.path


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[DocumentedInstallation]:
    """One service with the clocks of all pages, the console consumer and a scheduler."""
    with observed_groups(tmp_path_factory.mktemp("groups"), bootstrap) as made:
        made.start("clocksvc scheduler")
        start(made)
        yield made


def test_a_group_that_belongs_to_others_gets_a_clock(groups: DocumentedInstallation) -> None:
    """It ticks, waits for a record that the group has not committed, and names its partition."""
    a_clock_for_a_group(groups)


def test_a_tick_says_that_all_is_in_the_warehouse(groups: DocumentedInstallation) -> None:
    """Over two stages; while the first one is stopped, the hold names its partition."""
    a_pipeline(groups)


def test_a_tick_says_that_all_work_is_done(groups: DocumentedInstallation) -> None:
    """The scheduler counts as a stage, and the workers' group as the last one."""
    work_done(groups)
