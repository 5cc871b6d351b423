"""Hold the tools that are there against a requirements file of the sources about to be built.

Input: the file. Runs by the environment's Python with the tools on its path: `packaging` is one of them.
"""

import importlib
import importlib.metadata
import sys
from pathlib import Path

Requirement = importlib.import_module("packaging.requirements").Requirement


def unmet(line: str) -> "str | None":
    """What is wrong with one line; None when the environment satisfies it or it does not concern this machine."""
    text = line.partition("#")[0].strip()
    if not text:
        return None
    requirement = Requirement(text)
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        version = None
    if version is None or not requirement.specifier.contains(version, prereleases=True):
        return (
            f"pins.toml: vllm.build_requires: vLLM asks for {text}, got {version or 'nothing'}. "
            "Correct the pin, and read the other ones again."
        )
    return None


def main() -> int:
    problems = [problem for line in Path(sys.argv[1]).read_text().splitlines() if (problem := unmet(line))]
    print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0
