"""Write down in built.json what a build was made from: the commits that were checked out and the wheels it gave."""

import hashlib
import subprocess
import sys
from pathlib import Path

from agent.durable import replace_file, settle
from agent.protocol import Built, RecordOrder


def head(repository: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def main() -> None:
    order = RecordOrder.from_json(sys.argv[1])
    build = Path(order.directory)
    wheels = sorted((build / "wheels").glob("*.whl"))
    commits = {name: head(build / "src" / name) for name in order.repositories}
    sums = {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
    built = Built.from_data({**order.facts, "commits": commits, "wheels": sums})
    settle(build)  # what it tells of is on the disk before it is
    replace_file(build / "built.json", built.to_json(indent=1) + "\n", mode=0o644)
