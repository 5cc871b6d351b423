"""The proofs: what an environment must have shown before it is sealed. Judged here, from its findings alone.

A proof has a name, a verdict and the evidence for it, all of which end up in the manifest. `fab verify` shows them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from agent.message import MessageError
from agent.protocol import (
    Failure,
    Findings,
    KernelNames,
    PicturesAnswer,
    Proof,
    ProveOrder,
    Selftest,
    TextAnswer,
    TorchBuild,
)
from build.engine.commands import BuildDirectory, write_file
from build.engine.origin import COMPILED_FEATURES, WHEEL_FEATURES
from build.pins import Pins
from build.remote.agent import source
from build.remote.command import Command

PROOF_TIMEOUT_S = 7200.0


def is_proven_by_use(pins: Pins, machine: str) -> bool:
    """Whether all these proofs apply: on Arm, and wherever engines serve with our kernels.

    Elsewhere a ready wheel has to load and to take pictures.
    """
    return machine == "aarch64" or pins.has_kernels(machine)


def applying(pins: Pins, machine: str) -> Mapping[str, bool]:
    """Which findings are asked for."""
    return {
        "features": machine == "aarch64",
        "torch_build": machine == "aarch64",
        "acl_probe": machine == "aarch64",
        "matmul": machine == "aarch64",
        "symbols": machine == "aarch64",
        "openmp": is_proven_by_use(pins, machine),
        "selftest": pins.has_kernels(machine),
        "engine": pins.has_kernels(machine),
        "pictures": True,
    }


def use_commands(build: BuildDirectory, pins: Pins, machine: str, *, cxx: str | None = None) -> tuple[Command, ...]:
    """Use the environment and tell the findings; the last line of the last one's stdout is the answer.

    `cxx` is the compiler that torch is pointed at, as the engines are: it finds none but `g++` by itself.
    """
    scratch = PurePosixPath(build.path) / "proof"
    order = ProveOrder(
        scratch=str(scratch),
        findings=tuple(name for name, applies in applying(pins, machine).items() if applies),
        pictures=("bfloat16", *(["awq"] if pins.has_kernels(machine) else [])),
    )
    much, little = "multiply, sample and serve small models with it", "show pictures to a small model with it"
    return (
        Command(argv=("mkdir", "-p", "--", str(scratch)), what="make room for the proofs"),
        write_file(scratch / "small_model.py", source("small_model.py")),
        replace(
            build.agent.command(
                *("prove", order.to_json()),
                what=much if is_proven_by_use(pins, machine) else little,
                timeout_s=PROOF_TIMEOUT_S,
            ),
            env={"CXX": cxx} if cxx else {},
        ),
    )


def judge(stdout: str, problems: Sequence[str], pins: Pins, machine: str) -> tuple[Proof, ...]:
    """All proofs. `stdout` is what `use_commands` printed, `problems` what judge_proofs found in the first look."""
    loads = Proof("loads", "fail" if problems else "pass", "; ".join(problems) or _loaded(pins))
    try:
        findings = Findings.from_last_line(stdout)
    except MessageError:
        return (loads, Proof("use", "fail", f"no findings, got {stdout[-300:]!r}"))
    applies = applying(pins, machine)
    return (
        loads,
        *(_proof(name, getattr(findings, name), applies=applies[name], machine=machine) for name in JUDGES),
    )


def proof_problems(proofs: Iterable[Proof]) -> list[str]:
    """The failing proofs as problems for a person."""
    return [
        f"proofs.{proof.name}: the environment is not what was asked for, got {proof.evidence}. {ADVICE[proof.name]}"
        for proof in proofs
        if proof.verdict == "fail"
    ]


def _loaded(pins: Pins) -> str:
    return f"vLLM {pins.vllm.version}+cpu and torch {pins.torch.version} load, the CPU is the platform"


def _proof(name: str, finding: Any, *, applies: bool, machine: str) -> Proof:
    if not applies:
        return Proof(name, "skip", f"not asked for on {machine}")
    if finding is None or isinstance(finding, Failure):
        return Proof(name, "fail", finding.error if finding else "no finding")
    is_good, evidence = JUDGES[name](finding)
    return Proof(name, "pass" if is_good else "fail", evidence)


def _features(found: Mapping[str, bool]) -> tuple[bool, str]:
    missing = [name for name in WHEEL_FEATURES if not found.get(name)]
    there = ", ".join(name for name in COMPILED_FEATURES if found.get(name))
    return not missing, f"no {', '.join(missing)}" if missing else there


def _torch_build(torch: TorchBuild) -> tuple[bool, str]:
    accelerator = torch.cuda or torch.hip
    return not accelerator, f"torch {torch.version}, {f'for {accelerator}' if accelerator else 'for CPUs'}"


def _acl_probe(is_supported: bool) -> tuple[bool, str]:
    return is_supported, f"is_onednn_acl_supported() says {is_supported}"


def _matmul(names: Sequence[str]) -> tuple[bool, str]:
    return any("acl" in name for name in names), f"a bfloat16 product ran on {', '.join(names) or 'nothing of oneDNN'}"


def _symbols(files: Mapping[str, KernelNames]) -> tuple[bool, str]:
    good = [name for name, found in files.items() if found.acl_matmul_t and found.mmla]
    if good:
        return True, f"{good[0]} has acl_matmul_t and {files[good[0]].mmla[0]}"
    told = "; ".join(
        f"{name}: acl_matmul_t {found.acl_matmul_t} times, {len(found.mmla)} BF16 kernels"
        for name, found in files.items()
    )
    return False, told or "no compiled file of vLLM"


def _openmp(files: Sequence[str]) -> tuple[bool, str]:
    return len(files) == 1, f"{len(files)} OpenMP runtimes: {', '.join(files)}" if len(files) != 1 else files[0]


def _selftest(selftest: Selftest) -> tuple[bool, str]:
    wrong = {name: told for name, told in selftest.checks.items() if told}
    if wrong or not selftest.checks:
        return False, "; ".join(f"{name}: {told}" for name, told in wrong.items()) or "no operator was checked"
    return True, f"{len(selftest.checks)} operators agree with double precision on {selftest.isa}"


def _engine(answer: TextAnswer) -> tuple[bool, str]:
    report = answer.report
    layers = report.layers.get("linear_w4", 0) if report is not None else 0
    if report is None or not layers:
        held = f"{dict(report.layers)} on {report.isa}" if report is not None else "it was not loaded"
        return False, f"the plug-in held no int4 layer of a small AWQ model: {held}"
    if len(answer.tokens) != 8 or not -1e9 < (answer.logprob or float("nan")) <= 0:
        return False, f"a small AWQ model answered {list(answer.tokens)} with logprob {answer.logprob}"
    return True, f"a small AWQ model answered {len(answer.tokens)} tokens with {layers} layers on {report.isa}"


def _pictures(answers: Mapping[str, PicturesAnswer]) -> tuple[bool, str]:
    for kind, told in answers.items():
        red, white, again = (list(tokens) for tokens in (told.red, told.white, told.red_again))
        if red != again:
            return False, f"a small Gemma 3 in {kind} answered one picture with {red}, and then with {again}"
        if red == white or len(red) != 8:
            return False, f"a small Gemma 3 in {kind} answered a red picture with {red}, a white one with {white}"
    ((torchvision, has_operators),) = {(told.torchvision, told.has_operators) for told in answers.values()}
    part = "" if has_operators else ", its Python part alone"
    return True, f"a small Gemma 3 in {' and '.join(answers)} tells red from white, by torchvision {torchvision}{part}"


JUDGES: Mapping[str, Callable[[Any], tuple[bool, str]]] = {
    "features": _features,
    "torch_build": _torch_build,
    "acl_probe": _acl_probe,
    "matmul": _matmul,
    "symbols": _symbols,
    "openmp": _openmp,
    "selftest": _selftest,
    "engine": _engine,
    "pictures": _pictures,
}
AGAIN = "Build again; the output of the compilation has the rest."
ADVICE: Mapping[str, str] = {
    "loads": AGAIN,
    "use": AGAIN,
    "features": "Use an Axion machine (C4A or N4A), or an Arm processor with these.",
    "torch_build": "Let pip find torch's CPU build: PyTorch's CPU index, or the mirror's wheels/.",
    "acl_probe": AGAIN,
    "matmul": AGAIN,
    "symbols": AGAIN,
    "openmp": "Remove what brought the other runtime; two of them slow each other down or crash.",
    "selftest": "Compile the kernels with another compiler, or serve without them (pins.toml: kernels.machines).",
    "engine": "Read `python -m axion_kernels.selftest` in the environment, then build again.",
    "pictures": "Build again; where torch is taken from, torchvision of the version in pins.toml has to be there.",
}
