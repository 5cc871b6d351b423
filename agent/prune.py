"""Remove the checkpoints that no release on this host names any more, and print them."""

import sys
from pathlib import Path

from agent.content import prune
from agent.protocol import PruneAnswer, PruneOrder


def main() -> None:
    print(PruneAnswer(tuple(prune(Path(PruneOrder.from_json(sys.argv[1]).root)))).to_json())
