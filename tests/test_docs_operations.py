"""The table of errors: every message in it is one that a test provokes."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}[A-Z_]*\b|\.\.\.|\bN\b")


def rows() -> list[tuple[str, str, str]]:
    """The cells of the table of errors."""
    text = (REPOSITORY / "docs" / "operations.md").read_text().partition("\n## Errors\n")[2]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(each) == 3 for each in cells)
    return [(each[0], each[1], each[2]) for each in cells]


def literal(message: str) -> str:
    """The longest part of a message that is the same for everybody."""
    return max((part.strip(" :,.") for part in PLACEHOLDER.split(message)), key=len)


def test_every_error_of_the_table_is_provoked_by_a_test() -> None:
    tests = [path for path in (REPOSITORY / "tests").rglob("test_*.py") if path != Path(__file__)]
    # As written in the source: over two lines, with escapes of a pattern.
    told = "\n".join(re.sub(r'"\s*\n\s*[rf]*"', "", path.read_text()).replace("\\", "") for path in tests)
    messages = [message for cell, _, _ in rows() for message in re.findall(r"`([^`]+)`", cell)]
    assert len(messages) >= 28
    assert [message for message in messages if literal(message) not in told] == []


def test_every_error_of_the_table_has_a_cause_and_a_cure() -> None:
    assert [cells[0] for cells in rows() if not all(cells)] == []
