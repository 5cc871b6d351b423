"""The one version number, the changelog and the bill of materials."""

import datetime
import importlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import gateway
from publishing import bill, changelog
from publishing.version import STATED, Version, problems, restated, stated
from tests.unit.test_tidy import REPOSITORY, listed, name_of

DATE = datetime.date(2026, 11, 30)


def test_every_file_that_states_a_version_states_the_same() -> None:
    """Found by looking, not by a list: a third place that somebody adds fails here."""
    says = re.compile(r"""(?m)^(?:__version__|version|VERSION)\s*[:=]\s*["']?(\d[^\s"']*)""")
    found = {
        name_of(path): says.findall(path.read_text())
        for path in listed("*.py", "*.toml", "*.yaml", "*.yml", "*.cfg", "*.json")
        if not name_of(path).startswith(("tests/", "build/pins.toml", "deployment/catalog"))
    }
    assert {name: versions for name, versions in found.items() if versions} == {
        "gateway/__init__.py": [gateway.__version__],
        "policy/PulumiPolicy.yaml": [gateway.__version__],
        "kernels/pyproject.toml": ["0"],  # none of its own: see there
    }


def test_the_project_reads_its_version_where_it_is_stated() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    module, _, name = project["tool"]["setuptools"]["dynamic"]["version"]["attr"].partition(".")
    assert getattr(importlib.import_module(module), name) == gateway.__version__


def test_the_version_is_one_that_can_be_released() -> None:
    assert str(Version.read(gateway.__version__)) == gateway.__version__


@pytest.mark.parametrize("file", STATED, ids=str)
def test_another_version_changes_nothing_else_in_a_file(file: Path) -> None:
    text = (REPOSITORY / file).read_text()
    changed = restated(file, text, Version(12, 0, 3))
    assert stated(file, changed) == "12.0.3"
    assert changed.replace("12.0.3", gateway.__version__) == text


@pytest.mark.parametrize("asked", ["v1.2.3", "1.2", "1.02.3", "1.2.3 4", "1.2.3-rc1"])
def test_a_version_has_three_numbers(asked: str) -> None:
    said = f"VERSION: not three numbers such as 1.2.3, got {asked}. Correct it."
    assert problems(asked, "0.1.0", []) == [said]


def test_versions_are_compared_as_numbers() -> None:
    assert problems("0.10.0", "0.9.0", ["v0.2.0", "other", "v1", "vnext"]) == []
    assert problems("0.0.10", "0.1.0", []) == ["VERSION: older than 0.1.0, got 0.0.10. Choose a later number."]
    assert problems("0.9.9", "0.1.0", ["v0.10.0"]) == ["VERSION: older than 0.10.0, got 0.9.9. Choose a later number."]


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "1.2.x", " 1.2.3", "1.2.3\n", "\u0661.2.3", "-1.2.3", "9" * 9 + ".0.0"]
)
def test_what_is_no_version_is_none(text: str) -> None:
    assert Version.read(text) is None


def test_an_entry_is_what_was_unreleased() -> None:
    text = "# Changelog\n\n## Unreleased\n\n- A.\n- B.\n\n## 0.1.0, 2026-01-01\n\n- Old.\n"
    assert changelog.unreleased(text) == "- A.\n- B."
    assert changelog.filled(text, "0.2.0", DATE) == (
        "# Changelog\n\n## Unreleased\n\n## 0.2.0, 2026-11-30\n\n- A.\n- B.\n\n## 0.1.0, 2026-01-01\n\n- Old.\n"
    )


def test_the_changelog_of_this_project_can_be_released() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    assert "## Unreleased\n" in text
    assert changelog.problems("# Changelog\n") == [
        'CHANGELOG.md: no line "## Unreleased". Write it above the newest version.'
    ]


@pytest.fixture(scope="module")
def spdx() -> Any:
    return json.loads(bill.document("0.2.0", DATE, bill.components(REPOSITORY)))


def test_the_bill_has_what_spdx_requires_of_every_document(spdx: Any) -> None:
    """By the mandatory fields of SPDX 2.3; the whole document passed its reference tools (spdx-tools 0.8.5)."""
    assert (spdx["spdxVersion"], spdx["dataLicense"], spdx["SPDXID"]) == ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
    assert spdx["creationInfo"] == {"created": "2026-11-30T00:00:00Z", "creators": ["Tool: axion-deploy-0.2.0"]}
    assert re.fullmatch(r"https://[^#\s]+", spdx["documentNamespace"])
    ids = [package["SPDXID"] for package in spdx["packages"]]
    assert len(ids) == len(set(ids))
    assert [one for one in ids if not re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", one)] == []
    assert all(
        {"name", "versionInfo", "downloadLocation", "licenseDeclared"} <= package.keys() for package in spdx["packages"]
    )
    ends = {(one["spdxElementId"], one["relationshipType"], one["relatedSpdxElement"]) for one in spdx["relationships"]}
    assert ends == {("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-project")} | {
        ("SPDXRef-project", "DEPENDS_ON", one) for one in ids if one != "SPDXRef-project"
    }


def test_the_bill_names_everything_that_is_pinned(spdx: Any) -> None:
    """Read here by other means: lines and patterns, not the classes that the bill is made of."""
    locators = "\n".join(
        reference["referenceLocator"] for package in spdx["packages"] for reference in package.get("externalRefs", [])
    )
    for file in ("constraints.txt", "build/engine-constraints.txt"):
        lines = [line for line in (REPOSITORY / file).read_text().splitlines() if line and not line.startswith("#")]
        assert len(lines) > 70
        missing = [
            line for line in lines if f"/{re.sub('[-_.]+', '-', line.partition('==')[0]).lower()}@" not in locators
        ]
        assert missing == []
    pins = (REPOSITORY / "build" / "pins.toml").read_text()
    stated_there = re.findall(r'(?m)^(?:version|tag|commit|aarch64|x86_64|torchvision) = "([^"]+)"', pins)
    commits = set(stated_there) - {"v52.6.0", "12.0"}  # a tag whose commit is pinned; a compiler's lowest version
    assert len(commits) >= 12
    assert [one for one in commits if not re.search(rf"@{re.escape(one)}$", locators, re.MULTILINE)] == []
    sums = {one["checksumValue"] for package in spdx["packages"] for one in package.get("checksums", [])}
    assert sums == set(re.findall(r'(?m)^\w*sha256 = "([0-9a-f]{64})"', pins))


def test_the_bill_is_the_same_for_the_same_pins_and_another_for_others(spdx: Any) -> None:
    found = bill.components(REPOSITORY)
    assert json.loads(bill.document("0.2.0", DATE, found)) == spdx
    fewer = {component: files for component, files in found.items() if component.name != "torch"}
    other = json.loads(bill.document("0.2.0", DATE, fewer))
    assert other["documentNamespace"] != spdx["documentNamespace"]


def test_a_package_that_two_files_pin_is_listed_once_with_both(spdx: Any) -> None:
    (one,) = [package for package in spdx["packages"] if package["name"] == "aiohttp"]
    assert one["sourceInfo"] == "pinned by constraints.txt, build/engine-constraints.txt"
