"""Seal an engine environment, or say whether it is sealed: by what its manifest says, not by its being there.

To seal it takes the manifest's text from stdin.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from agent.durable import replace_file, settle
from agent.protocol import BuiltRecord, SealAnswer, SealedManifest, SealOrder

PAGE_BYTES = 4096


def is_sealed(build: Path) -> bool:
    """Whether the manifest is one of this very environment. A power cut may have left an empty file of that name."""
    manifest = SealedManifest.of_file(build / "manifest.json")
    return manifest is not None and manifest.digest == build.name


def is_filled(build: Path) -> bool:
    """Whether all steps were done, which is then written down (agent/record.py), and nothing of it was lost."""
    return BuiltRecord.of_file(build / "built.json") is not None and not any(damaged(build / "venv"))


def damaged(venv: Path) -> Iterator[Path]:
    """Name installed files that a power cut took away: missing, or ending with a page where their wheel had more.

    What a kernel had not written yet is lost by whole pages (4 KiB), mostly all of them. Files that were changed on
    purpose end anywhere.
    """
    for record in venv.glob("lib/python3*/site-packages/*.dist-info/RECORD"):
        with record.open(newline="", encoding="utf-8") as listed:
            for path, _, length in (row for row in csv.reader(listed) if len(row) == 3):
                file = record.parents[1] / path
                try:
                    size = file.stat().st_size
                except OSError:
                    size = 0
                if length and size < int(length) and size % PAGE_BYTES == 0:
                    yield file


def main() -> None:
    order = SealOrder.from_json(sys.argv[1])
    build = Path(order.build)
    if order.do == "seal":
        settle(build)
        replace_file(build / "manifest.json", sys.stdin.read(), mode=0o644)
    else:
        print(SealAnswer(is_sealed=is_sealed(build), is_filled=is_filled(build)).to_json())
