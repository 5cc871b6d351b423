"""Remove the checkpoints that no release on this host names any more, and print them. Input: {"root": str}."""

import json
import sys
from pathlib import Path

from agent.content import prune


def main() -> None:
    print(json.dumps({"removed": prune(Path(json.loads(sys.argv[1])["root"]))}))
