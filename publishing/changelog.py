"""CHANGELOG.md: what is under Unreleased becomes the entry of a version."""

import datetime

HEADING = "## Unreleased\n"


def unreleased(text: str) -> str:
    """What the next version brings, without its heading; empty where nobody wrote anything."""
    return text.partition(HEADING)[2].partition("\n## ")[0].strip()


def problems(text: str) -> list[str]:
    """Why no version can be made of it."""
    if HEADING not in text:
        return [f'CHANGELOG.md: no line "{HEADING.strip()}". Write it above the newest version.']
    if not unreleased(text):
        return ["CHANGELOG.md: nothing under Unreleased. Write there what a user notices, and how to migrate."]
    return []


def filled(text: str, version: str, date: datetime.date) -> str:
    """The text with an empty Unreleased above the version's own heading."""
    return text.replace(HEADING, f"{HEADING}\n## {version}, {date.isoformat()}\n", 1)
