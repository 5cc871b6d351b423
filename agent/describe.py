"""Print what a directory on a host holds as a checkpoint.

Headers and lengths are read, no tensor. Output: {"problems": [...], "texts": {...}, "tensors": {name: [dtype, shape]},
"digest": str}, or {"problems": [...]} of what is not whole.
"""

import json
import sys
from pathlib import Path

from agent.completeness import TEMPLATES, examine_directory
from agent.protocol import DescribeOrder


def main() -> None:
    order = DescribeOrder.from_json(sys.argv[1])
    directory = Path(order.directory)
    if not directory.is_dir():
        problems = [f"no such directory, got {json.dumps(str(directory))}. Make it, or correct the path."]
        print(json.dumps({"problems": problems}))
        return
    print(json.dumps(examine_directory(directory, order.remedy, also=TEMPLATES).as_data()))
