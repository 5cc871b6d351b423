"""Let torchvision be imported where its operators do not load: a build for accelerators beside torch for CPUs alone.

Image processors use its transforms, which are Python. The import dies where operators that are not there (nms,
roi_align, ...) are registered with torch; those modules are emptied, and only if that is why. Run by the
environment's own Python; prints what it found, and fails when torchvision cannot be imported in the end.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

TRANSFORMS = "torchvision.transforms.v2"
EMPTIED = "# Emptied: this build's operators do not load beside this torch, so there are none to register.\n"


def failure() -> str:
    """Why it cannot be imported; empty when it can."""
    importlib.invalidate_caches()
    try:
        importlib.import_module(TRANSFORMS)
    except Exception as error:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> int:
    why = failure()
    if not why:
        print("torchvision: imports as it is")
        return 0
    if "operator torchvision::" in why:
        spec = importlib.util.find_spec("torchvision")
        assert spec is not None
        assert spec.origin is not None
        for module in sorted(Path(spec.origin).parent.glob("_*_registrations.py")):
            module.write_text(EMPTIED)
            print(f"torchvision: {module.name} emptied, for {why}")
        why = failure()
    if why:
        print(f"torchvision: cannot be imported: {why}", file=sys.stderr)
    return 1 if why else 0
