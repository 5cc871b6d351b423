"""Print the version of each of some packages that apt would install, as one JSON object. Input: [names].

Reads only. A name unknown to apt is a pattern, which finds others: those are left out.
"""

import json
import os
import subprocess
import sys


def main() -> None:
    names = json.loads(sys.argv[1])
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
    print(json.dumps({name: version for name, version in found.items() if name in names}))
