"""The proof gates, each broken once: what it then says, and that nothing else is blamed."""

import json
from pathlib import Path
from typing import Any

import pytest

from build.engine.commands import BuildDirectory
from build.engine.proofs import gate_problems, judge, use_commands
from build.pins import load_pins
from tests.support.fakes.findings import ARM, PICTURES, died, found

PINS = load_pins(Path(__file__).parents[4] / "build" / "pins.toml")
ENGINE = ARM["engine"]["value"]


def verdicts(findings: dict[str, Any], machine: str = "aarch64") -> dict[str, str]:
    return {gate.name: gate.verdict for gate in judge("noise\n" + json.dumps(findings), [], PINS, machine)}


def test_an_axion_host_in_good_order_passes_every_gate() -> None:
    names = ["loads", "features", "torch_build", "acl_probe", "matmul", "symbols", "openmp", "selftest"]
    assert verdicts(ARM) == dict.fromkeys([*names, "engine", "pictures"], "pass")


def test_ready_wheels_on_x86_have_to_load_and_to_take_pictures() -> None:
    told = {**PICTURES, "torchvision": "0.28.0+cu130", "has_operators": False}
    gates = judge(json.dumps({"pictures": found({"bfloat16": told})}), [], PINS, "x86_64")
    assert {gate.name: gate.evidence for gate in gates if gate.verdict == "pass"} == {
        "loads": "vLLM 0.32.0+cpu and torch 2.13.0 load, the CPU is the platform",
        "pictures": "a small Gemma 3 in bfloat16 tells red from white, by torchvision 0.28.0+cu130, "
        "its Python part alone",
    }
    assert {gate.verdict for gate in gates} == {"pass", "skip"}


@pytest.mark.parametrize(
    ("machine", "kernels", "findings", "pictures"),
    [
        ("x86_64", (), ["pictures"], ["bfloat16"]),
        ("x86_64", ("x86_64",), ["openmp", "selftest", "engine", "pictures"], ["bfloat16", "awq"]),
        ("aarch64", ("aarch64",), list(ARM), ["bfloat16", "awq"]),
    ],
)
def test_only_what_applies_is_put_to_use(
    machine: str, kernels: tuple[str, ...], findings: list[str], pictures: list[str]
) -> None:
    pins = PINS.model_copy(update={"kernels": PINS.kernels.model_copy(update={"machines": kernels})})
    build = BuildDirectory.of("/opt/axion", "0123456789abcdef")
    *_, use = use_commands(build, pins, machine)
    scratch = "/opt/axion/builds/0123456789abcdef/proof"
    assert json.loads(use.argv[-1]) == {"scratch": scratch, "findings": findings, "pictures": pictures}


def test_torch_is_pointed_at_the_compiler_as_engines_are() -> None:
    """Debian's g++-12 brings no `g++`, and a small model that was asked for logprobs found no compiler."""
    build = BuildDirectory.of("/opt/axion", "0123456789abcdef")
    *_, use = use_commands(build, PINS, "aarch64", cxx="g++-12")
    assert use.env == {"CXX": "g++-12"}
    assert use_commands(build, PINS, "aarch64")[-1].env == {}


def test_kernels_on_x86_are_proven_and_arm_is_not_asked_for() -> None:
    pins = PINS.model_copy(update={"kernels": PINS.kernels.model_copy(update={"machines": ("x86_64",)})})
    gates = judge(json.dumps({**ARM, "acl_probe": found(False)}), [], pins, "x86_64")
    asked = [gate.name for gate in gates if gate.verdict == "pass"]
    assert asked == ["loads", "openmp", "selftest", "engine", "pictures"]
    assert [gate.evidence for gate in gates if gate.verdict == "skip"] == ["not asked for on x86_64"] * 5


@pytest.mark.parametrize(
    ("gate", "finding", "evidence"),
    [
        ("features", found({"bf16": True, "i8mm": False, "sve2": False}), "no i8mm"),
        ("features", found(None), "no bf16, i8mm"),
        (
            "torch_build",
            found({"version": "2.13.0+cu130", "cuda": "13.0", "hip": None}),
            "torch 2.13.0+cu130, for 13.0",
        ),
        ("acl_probe", found(False), "is_onednn_acl_supported() says False"),
        ("acl_probe", died("AttributeError: '_OpNamespace' '_C' object has no attribute"), "AttributeError"),
        ("matmul", found(["brg_matmul:sve_128"]), "a bfloat16 product ran on brg_matmul:sve_128"),
        ("matmul", found([]), "a bfloat16 product ran on nothing of oneDNN"),
        (
            "symbols",
            found({"_C.abi3.so": {"acl_matmul_t": 41, "mmla": []}}),
            "_C.abi3.so: acl_matmul_t 41 times, 0 BF16 kernels",
        ),
        ("symbols", found({}), "no compiled file of vLLM"),
        ("openmp", found(["/a/libgomp.so.1", "/b/libomp.so"]), "2 OpenMP runtimes: /a/libgomp.so.1, /b/libomp.so"),
        ("openmp", found([]), "0 OpenMP runtimes: "),
        (
            "selftest",
            found({"isa": "neon", "checks": {"softmax": "", "linear_w4": "ArithmeticError: off by up to 3"}}),
            "linear_w4: ArithmeticError: off by up to 3",
        ),
        ("selftest", found({"isa": "neon", "checks": {}}), "no operator was checked"),
        (
            "engine",
            died("RuntimeError: exit status 1\nAttributeError: cpu_gemm_wna16"),
            "RuntimeError: exit status 1\nAttributeError: cpu_gemm_wna16",
        ),
        (
            "engine",
            found({**ENGINE, "report": None}),
            "the plug-in held no int4 layer of a small AWQ model: it was not loaded",
        ),
        (
            "engine",
            found({**ENGINE, "report": {"isa": "neon", "layers": {"rms_norm": 5}}}),
            "the plug-in held no int4 layer of a small AWQ model: {'isa': 'neon', 'layers': {'rms_norm': 5}}",
        ),
        ("engine", found({**ENGINE, "tokens": [53]}), "a small AWQ model answered [53] with logprob -0.0151"),
        ("engine", found({**ENGINE, "logprob": float("nan")}), "a small AWQ model answered"),
        (
            "pictures",
            died("RuntimeError: exit status 1\nModuleNotFoundError: torchvision"),
            "RuntimeError: exit status 1",
        ),
        (
            "pictures",
            found({"bfloat16": PICTURES, "awq": {**PICTURES, "white": PICTURES["red"]}}),
            "a small Gemma 3 in awq answered a red picture with [163, 445, 275, 275, 22, 22, 22, 22], a white",
        ),
        (
            "pictures",
            found({"bfloat16": {**PICTURES, "red again": [1] * 8}}),
            "a small Gemma 3 in bfloat16 answered one picture with [163, 445, 275, 275, 22, 22, 22, 22], and",
        ),
        (
            "pictures",
            found({"bfloat16": {**PICTURES, "red": [1], "red again": [1]}}),
            "a small Gemma 3 in bfloat16 answered a red picture with [1], a white one with [231",
        ),
    ],
)
def test_one_broken_gate_fails_alone_and_says_why(gate: str, finding: dict[str, Any], evidence: str) -> None:
    gates = judge(json.dumps({**ARM, gate: finding}), [], PINS, "aarch64")
    failed = [each for each in gates if each.verdict == "fail"]
    assert [each.name for each in failed] == [gate]
    assert failed[0].evidence.startswith(evidence)
    (problem,) = gate_problems(gates)
    assert problem.startswith(f"proofs.{gate}: the environment is not what was asked for, got {evidence}")


@pytest.mark.parametrize("printed", ["", "Killed", "{}", '{"engine": null'])
def test_no_findings_are_a_failure(printed: str) -> None:
    gates = judge(printed, [], PINS, "aarch64")
    assert [(gate.name, gate.verdict) for gate in gates] == [("loads", "pass"), ("use", "fail")]


def test_a_finding_that_is_missing_is_a_failure() -> None:
    findings = {name: finding for name, finding in ARM.items() if name != "symbols"}
    assert verdicts(findings)["symbols"] == "fail"


def test_what_does_not_load_fails_first() -> None:
    (first, *_) = judge(json.dumps(ARM), ["proofs.kernels: no"], PINS, "aarch64")
    assert (first.name, first.verdict, first.evidence) == ("loads", "fail", "proofs.kernels: no")
