"""Environments that are not what was asked for, made from the one that serves: each proof must see what is missing.

A copy is an overlay in the host's memory over the sealed environment; what runs in it are the very scripts that prove
a build, and what judges their findings is what judges a build.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.protocol import Findings, Proof, ProveOrder
from build.engine.proofs import judge
from build.engine.seal import judge_proofs
from build.pins import PINS, load_pins
from build.remote.agent import Agent, carrying, source
from tests.support.arm.standins import readelf
from tests.support.machines.machine import Machine

COPY = "/srv/doctored"
BOUND_S = 2400.0
# A64: `mov w0, #value; ret`. 3 is oneDNN's dnnl_unimplemented.
ANSWER_FALSE, ANSWER_UNIMPLEMENTED = bytes.fromhex("00008052c0035fd6"), bytes.fromhex("60008052c0035fd6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What is taken from the copy's packages, and by gate what each must fail for."""

    what: str
    doctor: Callable[[Path], None]
    reasons: Mapping[str, str]


def without_acl(site: Path) -> None:
    """Switch the Arm Compute Library off in vLLM's machine code."""
    library = site / "vllm" / "_C.abi3.so"
    data = bytearray(library.read_bytes())
    answers = {"is_onednn_acl_supported()": ANSWER_FALSE}
    answers |= {f"acl_{kind}_t::pd_t::init(dnnl_engine*)": ANSWER_UNIMPLEMENTED for kind in ("matmul", "lowp_matmul")}
    found = dict(_functions(library, tuple(answers)))
    assert found.keys() == answers.keys(), f"{library}: no such functions, got {sorted(found)}"
    for name, offset in found.items():
        data[offset : offset + len(answers[name])] = answers[name]
    library.write_bytes(data)


def without_its_names(site: Path) -> None:
    """As if the Arm Compute Library had never been linked. The loader misses them too, so nothing else can be asked."""
    library = site / "vllm" / "_C.abi3.so"
    data = library.read_bytes()
    for spelt in (b"acl_matmul_t", b"bf16fp32_mmla"):
        data = data.replace(spelt, b"-" * len(spelt))
    library.write_bytes(data)


def _functions(library: Path, names: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Where in the file functions begin, by the end of their C++ name."""
    segments = [
        [int(word, 16) for word in match.groups()]
        for line in readelf("--program-headers", library)
        if (match := re.match(r"\s+LOAD\s+(\S+)\s+(\S+)\s+\S+\s+(\S+)", line))
    ]
    for line in readelf("--symbols", "--demangle", library):
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[3] == "FUNC":
            for name in names:
                if fields[7].strip().endswith(name):
                    address = int(fields[1], 16)
                    offset, start, _ = next(s for s in segments if s[1] <= address < s[1] + s[2])
                    yield name, address - start + offset


def without_operator(site: Path) -> None:
    library = site / "vllm" / "_C.abi3.so"
    data = library.read_bytes().replace(b"onednn_mm(", b"onednn_xx(").replace(b"\0onednn_mm\0", b"\0onednn_xx\0")
    library.write_bytes(data)


def without(*names: str) -> Callable[[Path], None]:
    def doctor(site: Path) -> None:
        for name in names:
            for path in site.glob(f"{name}*"):
                shutil.rmtree(path)

    return doctor


def with_accelerator(site: Path) -> None:
    says = site / "torch" / "version.py"
    says.write_text(re.sub(r"(?m)^(cuda: .*) = None$", r"\1 = '13.0'", says.read_text()))


CONTROLS = (
    Control(
        what="vLLM that does not use the Arm Compute Library",
        doctor=without_acl,
        reasons={"acl_probe": "is_onednn_acl_supported() says False", "matmul": "a bfloat16 product ran on "},
    ),
    Control(
        what="vLLM without the Arm Compute Library in it",
        doctor=without_its_names,
        reasons={"symbols": "acl_matmul_t 0 times"},
    ),
    Control(
        what="vLLM without one of its operators", doctor=without_operator, reasons={"loads": "_C::onednn_mm missing"}
    ),
    Control(what="no kernels of ours beside it", doctor=without("axion_kernels"), reasons={"engine": "cpu_gemm_wna16"}),
    Control(what="no torchvision", doctor=without("torchvision"), reasons={"pictures": "torchvision"}),
    Control(what="torch's build for an accelerator", doctor=with_accelerator, reasons={"torch_build": "for 13.0"}),
)


@contextmanager
def copied(machine: Machine, build: Path) -> Iterator[Path]:
    """A copy of an environment on the host for the length of a block: its packages as this computer sees them."""
    inside = f"/{build.relative_to(machine.root)}/venv"
    layers = f"lowerdir={inside},upperdir={COPY}/upper,workdir={COPY}/work"
    machine.output("mkdir", "-p", COPY)
    machine.output("mount", "-t", "tmpfs", "-o", "size=2G", "tmpfs", COPY)
    try:
        machine.output("mkdir", f"{COPY}/upper", f"{COPY}/work", f"{COPY}/venv", f"{COPY}/proof")
        machine.output("mount", "-t", "overlay", "overlay", "-o", layers, f"{COPY}/venv")
        init = machine.init
        assert init is not None, f"{machine.name} is off"
        (site,) = Path(f"/proc/{init.pid}/root{COPY}/venv/lib").glob("python3*/site-packages")
        yield site
    finally:
        machine.run("umount", "--recursive", COPY)


def doctored(machine: Machine, build: Path, control: Control) -> tuple[Proof, ...]:
    """Have a copy without something prove itself; the proofs that are the control's."""
    with copied(machine, build) as site:
        control.doctor(site)
        problems: list[str] = []
        findings = Findings().to_json()
        pins = load_pins(PINS)
        if "loads" in control.reasons:
            problems = judge_proofs(_asked(machine, "environment"), pins)
        else:
            (site.parents[3] / "proof" / "small_model.py").write_text(source("small_model.py"))
            order = ProveOrder(f"{COPY}/proof", tuple(control.reasons), ("bfloat16",))
            findings = _asked(machine, "prove", order.to_json())
    # What was not asked for is not judged either.
    proofs = judge(findings, problems, pins, "aarch64")
    return tuple(proof for proof in proofs if proof.name in control.reasons)


def _asked(machine: Machine, *words: str) -> str:
    """Have the agent ask the copy, over SSH as a deployment does, and return the last line that it prints."""
    asking = carrying(Agent(f"{COPY}/venv/bin/python", COPY).command(*words, what="ask"))
    command = machine.access.command(shlex.join(asking.argv))
    done = subprocess.run(command, input=asking.stdin, capture_output=True, timeout=BOUND_S, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout.decode().strip().rpartition("\n")[2]
