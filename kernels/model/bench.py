"""The modelled benchmark: every case of kernels/bench/cases.toml as a table and as JSON, and a gate on regressions."""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kernels.model.build import PACKAGES, build, install_missing, tool_versions
from kernels.model.case import Case, Result, Results, read_cases
from kernels.model.gate import regressions
from kernels.model.model import ModelError, model
from kernels.model.report import markdown

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "kernels/bench"
OUT = ROOT / "out/kernels"


def measure(case: Case, programs: Path, plugin: Path) -> Result:
    return Result(case, model(plugin, programs / case.program, case.arguments, case.symbols))


def run_all(cases: list[Case], programs: Path, plugin: Path, jobs: int) -> list[Result]:
    """In the order of the cases, with a line on stderr as each ends."""
    results = []
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(measure, case, programs, plugin) for case in cases]
        for number, (case, future) in enumerate(zip(cases, futures, strict=True), 1):
            print(f"[{number}/{len(cases)}] {case.name}", file=sys.stderr, flush=True)
            results.append(future.result())
    return results


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-kernels", description=__doc__)
    parser.add_argument("--check", type=Path, metavar="FILE", help="fail where a case got worse than in this baseline")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the results as the new baseline")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name holds this text")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="where programs are built and bench.json goes (%(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases at once (%(default)s)")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    try:
        cases = [case for case in read_cases(BENCH / "cases.toml") if asked.only in case.name]
        install_missing(PACKAGES)
        programs, plugin = build(ROOT / "kernels", asked.out)
        results = run_all(cases, programs, plugin, asked.jobs)
    except ModelError as error:
        print(f"bench-kernels: {error}", file=sys.stderr)
        return 1
    found = Results(tools=tool_versions(), cases={result.case.name: result.record() for result in results})
    text = found.to_json()
    if not asked.only:
        asked.out.joinpath("bench.json").write_text(text)
    if asked.write:
        asked.write.write_text(text)
    print(markdown(results))
    if not asked.check:
        return 0
    failures = regressions(Results.read(asked.check), found, whole=not asked.only)
    for failure in failures:
        print(f"regression: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
