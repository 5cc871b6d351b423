"""Which module does what, by its verb. Each has a `main` that reads the arguments after the verb.

This one is read by any Python 3: it says what is too old before anything else is imported.
"""

import importlib
import sys

OLDEST = (3, 11)
"""PYTHON_MIN of deployment/stack/minimum.py, whose sentence this is as well."""
TOO_OLD = "vLLM runs on Python 3.11 to 3.14, got {}. Use Ubuntu 24.04, or Debian 12 or newer."
VERBS = {
    "apt-offers": "offers",
    "attempt": "attempt",
    "bench-load": "bench_load",
    "bench-machine": "bench_machine",
    "bench-quality": "bench_quality",
    "clear": "clear",
    "compile": "compile",
    "describe": "describe",
    "dpkg": "dpkg",
    "environment": "environment",
    "job": "job",
    "launch": "launch",
    "lock": "lock",
    "packed": "packed",
    "probe": "probe",
    "prove": "engine_proofs",
    "prune": "prune",
    "pull": "pull",
    "record": "record",
    "releases": "releases",
    "requirements": "requirements",
    "room": "room",
    "seal": "seal",
    "stub-dist": "stub_dist",
    "supervisord": "runner",
    "systemd": "systemd",
    "tile-registers": "tile_registers",
    "torchvision": "torchvision",
    "uninstall": "uninstall",
    "usage": "usage",
    "validate": "validate",
    "wait-ready": "wait_ready",
}


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit(TOO_OLD.format(".".join(map(str, sys.version_info[:3]))))
    archive, verb, *arguments = sys.argv
    if verb not in VERBS:
        sys.exit(f"{verb}: no such verb. Use one of {', '.join(VERBS)}.")
    # The archive stays first: who keeps it (agent/archive.py) and who starts it again needs its place.
    sys.argv = [archive, *arguments]
    sys.exit(importlib.import_module(f"agent.{VERBS[verb]}").main())


if __name__ == "__main__":
    main()
