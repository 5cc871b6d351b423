"""docs/operations.md: every error of its tables is one that is printed, every command one that there is."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from fabfile import namespace

REPOSITORY = Path(__file__).parents[3]
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}[A-Z_]*\b|\.\.\.|\bN\b")
PRINTING = ("agent", "build", "deployment", "gateway", "infra", "plugin", "policy", "publishing")
GAP = "\0"
"""Where a text begins, ends, or has a value put in."""
BETWEEN = ("", " ", ": ", ", ", ". ", " (", "(")
PLACE = re.compile(r"^[\w.-]+: ")
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


@cache
def printed() -> str:
    """Every text of the code but the docstrings, with a gap before, after, and for each value that is put in."""
    found: list[str] = []
    for path in sorted(path for folder in PRINTING for path in (REPOSITORY / folder).rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        found += [text_of(node) for node in nodes if id(node) not in docstrings]
    return GAP + GAP.join(filter(None, found)) + GAP


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or GAP for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def is_printed(words: str, texts: str, *, starts: tuple[str, ...] = ("",)) -> bool:
    """Whether words stand in one text, or in texts of which one is put into the other."""
    if any(start + words in texts for start in starts):
        return True
    for blank in (place for place, character in enumerate(words) if character == " "):
        head, rest = words[:blank].rstrip(" :,."), words[blank + 1 :]
        is_head = any(f"{start}{head}{end}{GAP}" in texts for start in starts for end in BETWEEN)
        if is_head and is_printed(rest, texts, starts=tuple(GAP + start for start in BETWEEN)):
            return True
    return False


def unprinted(texts: str) -> list[str]:
    """Messages of which a part is printed nowhere. A place may be the name of a file, a key or an option."""
    return [
        message
        for message in messages()
        for part in literals(message)
        if re.search("[a-z]", part) and not (is_printed(part, texts) or is_printed(PLACE.sub("", part), texts))
    ]


def test_every_error_of_the_tables_is_one_that_the_code_prints() -> None:
    assert unprinted(printed()) == []


@pytest.mark.parametrize(
    ("ours", "changed", "message"),
    [
        (" by another program", " by some other program", "gateway.listen[N]: in use on NAME by another program"),
        ("it answers a prompt", "it replies", "MODEL: does not answer, got: it answers a prompt with STATUS"),
        ("check the wheels", "look at the wheels", "check the wheels: failed"),
        ("of an earlier version", "of another version", "models.lock.json: of an earlier version"),
    ],
)
def test_a_message_that_changed_is_noticed(ours: str, changed: str, message: str) -> None:
    texts = printed()
    assert ours in texts
    assert unprinted(texts.replace(ours, changed)) == [message]


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
