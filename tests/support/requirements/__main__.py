"""Bring what runs need, or say in one message all that is missing: python3 -m tests.support.requirements RUN..."""

import argparse
import sys

from tests.support.requirements.runs import RUNS, prepare


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.support.requirements", description=__doc__)
    parser.add_argument("runs", nargs="+", choices=RUNS, metavar="RUN", help=", ".join(RUNS))
    given = parser.parse_args()
    problems = prepare([RUNS[name] for name in given.runs])
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
