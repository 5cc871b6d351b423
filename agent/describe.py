"""Print what a directory on a host holds as a checkpoint. Headers and lengths are read, no tensor."""

import json
import sys
from pathlib import Path

from agent.completeness import TEMPLATES, examine_directory
from agent.protocol import CheckpointDescription, DescribeOrder


def main() -> None:
    order = DescribeOrder.from_json(sys.argv[1])
    directory = Path(order.directory)
    if not directory.is_dir():
        problem = f"no such directory, got {json.dumps(str(directory))}. Make it, or correct the path."
        print(CheckpointDescription((problem,)).to_json())
        return
    print(examine_directory(directory, order.remedy, also=TEMPLATES).description.to_json())
