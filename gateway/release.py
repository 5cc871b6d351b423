"""Which release this process runs, for a deployer that must not take an old process for a new one."""

import json
from pathlib import Path


def unit_digest_of(package: Path) -> str | None:
    """Read the gateway's digest in the release around <release>/lib/gateway; None in a checkout."""
    try:
        description = json.loads((package.resolve().parents[1] / "release.json").read_text(encoding="utf-8"))
        return str(description["units"]["gateway"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


UNIT_DIGEST = unit_digest_of(Path(__file__).parent)
"""Read at import, with the code itself: `current` may point to another release a moment later."""
