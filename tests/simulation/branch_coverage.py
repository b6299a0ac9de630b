"""Which branches of some modules a run takes. Measuring slows a run down: use it for a sample."""

from pathlib import Path
from types import TracebackType

from coverage import Coverage

NOT_HERE = ("runner.py",)
"""The thread around a leader: the simulation's scheduler replaces it."""


class BranchCoverage:
    """Measures the modules of a folder during the block."""

    def __init__(self, folder: Path) -> None:
        self._files = [path for path in sorted(folder.glob("*.py")) if path.name not in (*NOT_HERE, "__init__.py")]
        self._coverage = Coverage(
            data_file=None, branch=True, include=[str(path) for path in self._files], concurrency=["greenlet"]
        )

    def __enter__(self) -> "BranchCoverage":
        self._coverage.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._coverage.stop()

    def table(self) -> str:
        """A line for each module, with the lines whose branches were not all taken, and the total."""
        lines, all_branches, all_taken = [], 0, 0
        for path in self._files:
            found = self._coverage.branch_stats(str(path))
            branches = sum(exits for exits, _ in found.values())
            taken = sum(taken for _, taken in found.values())
            missing = [line for line, (exits, taken) in sorted(found.items()) if taken < exits]
            lines.append(_line(path.name, taken, branches) + (f", not all from line {missing}" if missing else ""))
            all_branches, all_taken = all_branches + branches, all_taken + taken
        return "\n".join([*lines, _line("all", all_taken, all_branches)])


def _line(name: str, taken: int, branches: int) -> str:
    return f"  {name}: {taken} of {branches} ({100 * taken / branches if branches else 100:.1f}%)"
