"""The proof gates: what an environment must have shown before it is sealed. Judged here, from its findings alone.

A gate has a name, a verdict and the evidence for it, all of which end up in the manifest. `fab verify` shows them.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from build.engine.commands import BuildDirectory, write_file
from build.engine.origin import COMPILED_FEATURES, WHEEL_FEATURES
from build.pins import Pins
from build.remote.agent import source
from build.remote.command import Command

Verdict = Literal["pass", "fail", "skip"]
Findings = Mapping[str, Any]
PROOF_TIMEOUT_S = 7200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    name: str
    verdict: Verdict
    evidence: str

    def as_data(self) -> dict[str, str]:
        return asdict(self)


def is_proven_by_use(pins: Pins, machine: str) -> bool:
    """Whether all these gates apply: on Arm, and wherever engines serve with our kernels.

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
    wanted = {
        "scratch": str(scratch),
        "findings": [name for name, applies in applying(pins, machine).items() if applies],
        "pictures": ["bfloat16", *(["awq"] if pins.has_kernels(machine) else [])],
    }
    much, little = "multiply, sample and serve small models with it", "show pictures to a small model with it"
    return (
        Command(argv=("mkdir", "-p", "--", str(scratch)), what="make room for the proofs"),
        write_file(scratch / "small_model.py", source("small_model.py")),
        replace(
            build.agent.command(
                *("prove", json.dumps(wanted)),
                what=much if is_proven_by_use(pins, machine) else little,
                timeout_s=PROOF_TIMEOUT_S,
            ),
            env={"CXX": cxx} if cxx else {},
        ),
    )


def judge(stdout: str, problems: Sequence[str], pins: Pins, machine: str) -> tuple[Gate, ...]:
    """All gates. `stdout` is what `use_commands` printed, `problems` what judge_proofs found in the first look."""
    gates = [Gate(name="loads", verdict="fail" if problems else "pass", evidence="; ".join(problems) or _loaded(pins))]
    try:
        findings: Findings = json.loads(stdout.strip().rpartition("\n")[2])
        findings["pictures"]
    except (ValueError, KeyError, TypeError):
        gates.append(Gate(name="use", verdict="fail", evidence=f"no findings, got {stdout[-300:]!r}"))
        return tuple(gates)
    applies = applying(pins, machine)
    gates += [_gate(name, JUDGES[name], findings.get(name), applies=applies[name], machine=machine) for name in JUDGES]
    return tuple(gates)


def gate_problems(gates: Iterable[Gate]) -> list[str]:
    """The failing gates as problems for a person."""
    return [
        f"proofs.{gate.name}: the environment is not what was asked for, got {gate.evidence}. {ADVICE[gate.name]}"
        for gate in gates
        if gate.verdict == "fail"
    ]


def _loaded(pins: Pins) -> str:
    return f"vLLM {pins.vllm.version}+cpu and torch {pins.torch.version} load, the CPU is the platform"


def _gate(
    name: str, judge_one: Callable[[Any], tuple[bool, str]], finding: Any, *, applies: bool, machine: str
) -> Gate:
    if not applies:
        return Gate(name=name, verdict="skip", evidence=f"not asked for on {machine}")
    if finding is None or finding["error"] is not None:
        return Gate(name=name, verdict="fail", evidence=finding["error"] if finding else "no finding")
    is_good, evidence = judge_one(finding["value"])
    return Gate(name=name, verdict="pass" if is_good else "fail", evidence=evidence)


def _features(value: Any) -> tuple[bool, str]:
    found = value or {}
    missing = [name for name in WHEEL_FEATURES if not found.get(name)]
    there = ", ".join(name for name in COMPILED_FEATURES if found.get(name))
    return not missing, f"no {', '.join(missing)}" if missing else there


def _torch_build(value: Any) -> tuple[bool, str]:
    accelerator = value["cuda"] or value["hip"]
    return not accelerator, f"torch {value['version']}, {f'for {accelerator}' if accelerator else 'for CPUs'}"


def _acl_probe(value: Any) -> tuple[bool, str]:
    return value is True, f"is_onednn_acl_supported() says {value}"


def _matmul(value: Any) -> tuple[bool, str]:
    return any("acl" in name for name in value), f"a bfloat16 product ran on {', '.join(value) or 'nothing of oneDNN'}"


def _symbols(value: Any) -> tuple[bool, str]:
    good = [name for name, found in value.items() if found["acl_matmul_t"] and found["mmla"]]
    if good:
        return True, f"{good[0]} has acl_matmul_t and {value[good[0]]['mmla'][0]}"
    told = "; ".join(
        f"{name}: acl_matmul_t {found['acl_matmul_t']} times, {len(found['mmla'])} BF16 kernels"
        for name, found in value.items()
    )
    return False, told or "no compiled file of vLLM"


def _openmp(value: Any) -> tuple[bool, str]:
    return len(value) == 1, f"{len(value)} OpenMP runtimes: {', '.join(value)}" if len(value) != 1 else value[0]


def _selftest(value: Any) -> tuple[bool, str]:
    wrong = {name: told for name, told in value["checks"].items() if told}
    if wrong or not value["checks"]:
        return False, "; ".join(f"{name}: {told}" for name, told in wrong.items()) or "no operator was checked"
    return True, f"{len(value['checks'])} operators agree with double precision on {value['isa']}"


def _engine(value: Any) -> tuple[bool, str]:
    report = value["report"] or {}
    layers = report.get("layers", {}).get("linear_w4", 0)
    if not layers:
        return False, f"the plug-in held no int4 layer of a small AWQ model: {report or 'it was not loaded'}"
    if len(value["tokens"]) != 8 or not -1e9 < (value["logprob"] or float("nan")) <= 0:
        return False, f"a small AWQ model answered {value['tokens']} with logprob {value['logprob']}"
    return True, f"a small AWQ model answered {len(value['tokens'])} tokens with {layers} layers on {report['isa']}"


def _pictures(value: Any) -> tuple[bool, str]:
    for kind, told in value.items():
        red, white, again = (told[asked] for asked in ("red", "white", "red again"))
        if red != again:
            return False, f"a small Gemma 3 in {kind} answered one picture with {red}, and then with {again}"
        if red == white or len(red) != 8:
            return False, f"a small Gemma 3 in {kind} answered a red picture with {red}, a white one with {white}"
    (torchvision,) = {(told["torchvision"], told["has_operators"]) for told in value.values()}
    part = "" if torchvision[1] else ", its Python part alone"
    return True, f"a small Gemma 3 in {' and '.join(value)} tells red from white, by torchvision {torchvision[0]}{part}"


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
