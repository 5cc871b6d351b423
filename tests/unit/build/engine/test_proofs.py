"""The proofs, each broken once: what it then says, and that nothing else is blamed."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.protocol import ProveOrder
from build.engine.commands import BuildDirectory
from build.engine.proofs import judge, proof_problems, use_commands
from build.pins import load_pins
from tests.support.fakes.findings import ARM, PICTURES, died

PINS = load_pins(Path(__file__).parents[4] / "build" / "pins.toml")
ENGINE = ARM["engine"]


def verdicts(findings: dict[str, Any], machine: str = "aarch64") -> dict[str, str]:
    return {proof.name: proof.verdict for proof in judge("noise\n" + json.dumps(findings), [], PINS, machine)}


def test_an_axion_host_in_good_order_passes_every_proof() -> None:
    names = ["loads", "features", "torch_build", "acl_probe", "matmul", "symbols", "openmp", "selftest"]
    assert verdicts(ARM) == dict.fromkeys([*names, "engine", "pictures"], "pass")


def test_ready_wheels_on_x86_have_to_load_and_to_take_pictures() -> None:
    told = {**PICTURES, "torchvision": "0.28.0+cu130", "has_operators": False}
    proofs = judge(json.dumps({"schema": ARM["schema"], "pictures": {"bfloat16": told}}), [], PINS, "x86_64")
    assert {proof.name: proof.evidence for proof in proofs if proof.verdict == "pass"} == {
        "loads": "vLLM 0.32.0+cpu and torch 2.13.0 load, the CPU is the platform",
        "pictures": "a small Gemma 3 in bfloat16 tells red from white, by torchvision 0.28.0+cu130, "
        "its Python part alone",
    }
    assert {proof.verdict for proof in proofs} == {"pass", "skip"}


@pytest.mark.parametrize(
    ("machine", "kernels", "findings", "pictures"),
    [
        ("x86_64", (), ["pictures"], ["bfloat16"]),
        ("x86_64", ("x86_64",), ["openmp", "selftest", "engine", "pictures"], ["bfloat16", "awq"]),
        ("aarch64", ("aarch64",), list(ARM)[1:], ["bfloat16", "awq"]),
    ],
)
def test_only_what_applies_is_put_to_use(
    machine: str, kernels: tuple[str, ...], findings: list[str], pictures: list[str]
) -> None:
    pins = PINS.model_copy(update={"kernels": PINS.kernels.model_copy(update={"machines": kernels})})
    build = BuildDirectory.of("/opt/axion", "0123456789abcdef")
    *_, use = use_commands(build, pins, machine)
    scratch = "/opt/axion/builds/0123456789abcdef/proof"
    assert ProveOrder.from_json(use.argv[-1]) == ProveOrder(scratch, tuple(findings), tuple(pictures))


def test_torch_is_pointed_at_the_compiler_as_engines_are() -> None:
    """Debian's g++-12 brings no `g++`, and a small model that was asked for logprobs found no compiler."""
    build = BuildDirectory.of("/opt/axion", "0123456789abcdef")
    *_, use = use_commands(build, PINS, "aarch64", cxx="g++-12")
    assert use.env == {"CXX": "g++-12"}
    assert use_commands(build, PINS, "aarch64")[-1].env == {}


def test_kernels_on_x86_are_proven_and_arm_is_not_asked_for() -> None:
    pins = PINS.model_copy(update={"kernels": PINS.kernels.model_copy(update={"machines": ("x86_64",)})})
    proofs = judge(json.dumps({**ARM, "acl_probe": False}), [], pins, "x86_64")
    asked = [proof.name for proof in proofs if proof.verdict == "pass"]
    assert asked == ["loads", "openmp", "selftest", "engine", "pictures"]
    assert [proof.evidence for proof in proofs if proof.verdict == "skip"] == ["not asked for on x86_64"] * 5


@pytest.mark.parametrize(
    ("proof", "finding", "evidence"),
    [
        ("features", {"bf16": True, "i8mm": False, "sve2": False}, "no i8mm"),
        ("features", {}, "no bf16, i8mm"),
        (
            "torch_build",
            {"version": "2.13.0+cu130", "cuda": "13.0", "hip": None},
            "torch 2.13.0+cu130, for 13.0",
        ),
        ("acl_probe", False, "is_onednn_acl_supported() says False"),
        ("acl_probe", died("AttributeError: '_OpNamespace' '_C' object has no attribute"), "AttributeError"),
        ("matmul", ["brg_matmul:sve_128"], "a bfloat16 product ran on brg_matmul:sve_128"),
        ("matmul", [], "a bfloat16 product ran on nothing of oneDNN"),
        (
            "symbols",
            {"_C.abi3.so": {"acl_matmul_t": 41, "mmla": []}},
            "_C.abi3.so: acl_matmul_t 41 times, 0 BF16 kernels",
        ),
        ("symbols", {}, "no compiled file of vLLM"),
        ("openmp", ["/a/libgomp.so.1", "/b/libomp.so"], "2 OpenMP runtimes: /a/libgomp.so.1, /b/libomp.so"),
        ("openmp", [], "0 OpenMP runtimes: "),
        (
            "selftest",
            {"isa": "neon", "checks": {"softmax": "", "linear_w4": "ArithmeticError: off by up to 3"}},
            "linear_w4: ArithmeticError: off by up to 3",
        ),
        ("selftest", {"isa": "neon", "checks": {}}, "no operator was checked"),
        (
            "engine",
            died("RuntimeError: exit status 1\nAttributeError: cpu_gemm_wna16"),
            "RuntimeError: exit status 1\nAttributeError: cpu_gemm_wna16",
        ),
        (
            "engine",
            {**ENGINE, "report": None},
            "the plug-in held no int4 layer of a small AWQ model: it was not loaded",
        ),
        (
            "engine",
            {**ENGINE, "report": {"isa": "neon", "layers": {"rms_norm": 5}}},
            "the plug-in held no int4 layer of a small AWQ model: {'rms_norm': 5} on neon",
        ),
        ("engine", {**ENGINE, "tokens": [53]}, "a small AWQ model answered [53] with logprob -0.0151"),
        ("engine", {**ENGINE, "logprob": float("nan")}, "a small AWQ model answered"),
        (
            "pictures",
            died("RuntimeError: exit status 1\nModuleNotFoundError: torchvision"),
            "RuntimeError: exit status 1",
        ),
        (
            "pictures",
            {"bfloat16": PICTURES, "awq": {**PICTURES, "white": PICTURES["red"]}},
            "a small Gemma 3 in awq answered a red picture with [163, 445, 275, 275, 22, 22, 22, 22], a white",
        ),
        (
            "pictures",
            {"bfloat16": {**PICTURES, "red_again": [1] * 8}},
            "a small Gemma 3 in bfloat16 answered one picture with [163, 445, 275, 275, 22, 22, 22, 22], and",
        ),
        (
            "pictures",
            {"bfloat16": {**PICTURES, "red": [1], "red_again": [1]}},
            "a small Gemma 3 in bfloat16 answered a red picture with [1], a white one with [231",
        ),
    ],
)
def test_one_broken_proof_fails_alone_and_says_why(proof: str, finding: dict[str, Any], evidence: str) -> None:
    proofs = judge(json.dumps({**ARM, proof: finding}), [], PINS, "aarch64")
    failed = [each for each in proofs if each.verdict == "fail"]
    assert [each.name for each in failed] == [proof]
    assert failed[0].evidence.startswith(evidence)
    (problem,) = proof_problems(proofs)
    assert problem.startswith(f"proofs.{proof}: the environment is not what was asked for, got {evidence}")


@pytest.mark.parametrize("printed", ["", "Killed", "{}", '{"engine": null'])
def test_no_findings_are_a_failure(printed: str) -> None:
    proofs = judge(printed, [], PINS, "aarch64")
    assert [(proof.name, proof.verdict) for proof in proofs] == [("loads", "pass"), ("use", "fail")]


def test_a_finding_that_is_missing_is_a_failure() -> None:
    findings = {name: finding for name, finding in ARM.items() if name != "symbols"}
    assert verdicts(findings)["symbols"] == "fail"


def test_what_does_not_load_fails_first() -> None:
    (first, *_) = judge(json.dumps(ARM), ["proofs.kernels: no"], PINS, "aarch64")
    assert (first.name, first.verdict, first.evidence) == ("loads", "fail", "proofs.kernels: no")
