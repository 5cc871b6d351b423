"""Print the version of each of some packages that apt would install.

Reads only. A name unknown to apt is a pattern, which finds others: those are left out.
"""

import os
import subprocess
import sys

from agent.protocol import OffersAnswer, OffersOrder


def main() -> None:
    names = OffersOrder.from_json(sys.argv[1]).packages
    environment = {**os.environ, "LC_ALL": "C"}
    printed = subprocess.run(
        ["apt-cache", "policy", *names], capture_output=True, text=True, timeout=60, check=False, env=environment
    ).stdout
    found, name = {}, ""
    for line in printed.splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            found[name] = line.split()[1]
    print(OffersAnswer({name: version for name, version in found.items() if name in names}).to_json())
