"""Where the engine comes from: the flag, the models file, the machine, in this order."""

import pytest

from build.engine.origin import choose_origin
from build.errors import DeployError
from build.pins import load_pins
from build.prepare import PINS as FILE

PINS = load_pins(FILE)


@pytest.mark.parametrize(
    ("machine", "flag", "key", "origin"),
    [
        ("aarch64", None, None, "compiled"),
        ("aarch64", None, "wheel", "wheel"),
        ("aarch64", "wheel", None, "wheel"),
        ("aarch64", "compiled", "wheel", "compiled"),
        ("aarch64", "wheel", "compiled", "wheel"),
        ("x86_64", None, None, "wheel"),
        ("x86_64", "wheel", None, "wheel"),
    ],
)
def test_the_flag_counts_before_the_file_and_arm_compiles_unless_told_otherwise(
    machine: str, flag: str | None, key: str | None, origin: str
) -> None:
    assert choose_origin(PINS, machine=machine, flag=flag, key=key) == origin


@pytest.mark.parametrize(
    ("machine", "flag", "key", "said"),
    [
        ("aarch64", "weel", None, '--engine: not an origin of engines, got "weel". Use compiled or wheel.'),
        (
            "x86_64",
            None,
            "compiled",
            'host.engine: vLLM is compiled on aarch64 only, got "compiled" for x86_64. Use wheel, or leave it out.',
        ),
        (
            "riscv64",
            None,
            None,
            "pins.toml: vllm.wheels: no binary build for riscv64, got x86_64, aarch64, and vLLM is compiled for "
            "aarch64 only. Use an x86-64 or an Arm machine.",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(machine: str, flag: str | None, key: str | None, said: str) -> None:
    with pytest.raises(DeployError) as caught:
        choose_origin(PINS, machine=machine, flag=flag, key=key)
    assert str(caught.value) == said


def test_no_wheel_is_taken_that_is_not_pinned() -> None:
    without = PINS.model_copy(update={"vllm": PINS.vllm.model_copy(update={"wheels": {}})})
    with pytest.raises(DeployError) as caught:
        choose_origin(without, machine="aarch64", flag="wheel")
    assert str(caught.value) == ('--engine: no wheel is pinned for aarch64, got "wheel". Use compiled, or pin one.')
