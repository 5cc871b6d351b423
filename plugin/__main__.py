"""What Pulumi runs as a plug-in, from the other program's folder: it becomes infra.plugin, found in this checkout.

Pulumi puts this folder, not the checkout, first on the path; and `-P` keeps the other program's own `infra` off it.
"""

import os
import sys
from pathlib import Path

environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
os.execve(sys.executable, [sys.executable, "-P", "-m", "infra.plugin", *sys.argv[1:]], environment)  # noqa: S606 - no shell is wanted
