"""Remove the checkpoints and packed weights that no release on this host names any more, and print the former."""

import sys
from pathlib import Path

from agent.content import prune
from agent.packed import prune_packed
from agent.protocol import PruneAnswer, PruneOrder


def main() -> None:
    root = Path(PruneOrder.from_json(sys.argv[1]).root)
    prune_packed(root)
    print(PruneAnswer(tuple(prune(root))).to_json())
