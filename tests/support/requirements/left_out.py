"""How many tests were left out, and why, in one line: python -m tests.support.requirements.left_out [--none].

Read from the reports that pytest wrote. With --none it is an error when there are any.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

REPORTS = Path(__file__).parents[3] / "out" / "reports"


def closing_line(reports: Sequence[Path]) -> tuple[str, int]:
    """The line that closes a run, and how many tests it says were left out."""
    cases = [case for report in reports for case in ElementTree.parse(report).iter("testcase")]  # noqa: S314
    reasons = Counter(reason for case in cases for reason in skips(case))
    count = reasons.total()
    if not count:
        return f"Left out: none of {len(cases)} tests.", 0
    whys = "; ".join(
        f"{times} because {reason}" for reason, times in sorted(reasons.items(), key=lambda each: -each[1])
    )
    return f"Left out: {count} of {len(cases)} tests. {whys}", count


def skips(case: ElementTree.Element) -> Iterator[str]:
    """Why a test did not run; one that was expected to fail did."""
    for skipped in case.iter("skipped"):
        if skipped.get("type") == "pytest.skip":
            yield " ".join(skipped.get("message", "").split())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.requirements.left_out", description=__doc__)
    parser.add_argument("--none", action="store_true", help="exit with 1 where a test was left out")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="the folder with them (%(default)s)")
    given = parser.parse_args()
    reports = sorted(given.reports.glob("*.xml"))
    if not reports:
        print(f"{given.reports}: no report of a run, got none. Run `make test`.", file=sys.stderr)
        return 1
    line, count = closing_line(reports)
    print(line)
    return 1 if given.none and count else 0


if __name__ == "__main__":
    sys.exit(main())
