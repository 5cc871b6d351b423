"""docs/operations.md: every error of its tables is one that a test provokes, every command one that there is."""

import re
from pathlib import Path

import pytest

from fabfile import namespace

REPOSITORY = Path(__file__).parents[3]
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}[A-Z_]*\b|\.\.\.|\bN\b")
DOCUMENTS = ("README.md", "docs/operations.md")


def section() -> str:
    """All that stands under the heading `Errors`."""
    return (REPOSITORY / "docs" / "operations.md").read_text().partition("\n## Errors\n")[2].partition("\n## ")[0]


def rows() -> list[tuple[str, str, str]]:
    """The cells of the tables of errors, without their heads."""
    tables = re.findall(r"(?:^\|.*\n)+", section(), re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines()[2:]]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(each) == 3 for each in cells)
    return [(each[0], each[1], each[2]) for each in cells]


def messages() -> list[str]:
    return [message for cell, _, _ in rows() for message in re.findall(r"`([^`]+)`", cell)]


def literals(message: str) -> list[str]:
    """The parts of a message that are the same for everybody. All of one in capitals, as pip's, is its own."""
    parts = [part.strip(" :,.") for part in PLACEHOLDER.split(message) if re.search(r"[a-z]", part)] or [message]
    return [part for part in parts if len(part) >= 8] or [max(parts, key=len)]


def test_every_error_of_the_tables_is_provoked_by_a_test() -> None:
    sources = (REPOSITORY / "tests").rglob("*.py")
    tests = [each for each in sources if each.name.startswith("test_") or each.stem.endswith("_table")]
    tests.remove(Path(__file__))
    # As written in the source: over two lines, with escapes of a pattern.
    told = [re.sub(r'"\s*\n\s*[rf]*"', "", path.read_text()).replace("\\", "") for path in tests]
    assert len(messages()) >= 90
    assert [message for message in messages() if len("".join(literals(message))) < 5] == []
    lost = [each for each in messages() if not any(all(part in text for part in literals(each)) for text in told)]
    assert lost == []


def test_every_error_of_the_tables_has_a_cause_and_a_cure() -> None:
    assert [cells[0] for cells in rows() if not all(cells)] == []


def test_no_error_stands_in_the_tables_twice() -> None:
    assert sorted(set(messages())) == sorted(messages())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_a_document_is_one_that_there_is(document: str) -> None:
    text = (REPOSITORY / document).read_text()
    shown = re.findall(r"`(fab [^`]+|make [a-z-]+)`", text)
    shown += re.findall(r"^    (?:\S*/)?((?:fab|make) .*)$", text, re.MULTILINE)
    assert len(shown) >= 10
    targets = set(re.findall(r"^([a-z][a-z-]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for command in shown:
        program, name, *words = command.partition("#")[0].split()
        if program == "make":
            assert name in targets, command
        elif name != "--list":
            options = {flag for argument in namespace[name].get_arguments() for flag in argument.names}
            given = {word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")}
            assert given <= {option.replace("_", "-") for option in options}, command
