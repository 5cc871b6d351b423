"""The table of operations: what it reads, how it scales and judges, what it says. No tool is run."""

import json
from pathlib import Path

import pytest

from kernels.model.loops import Loop, read_loops
from kernels.model.marked import GENERATED, Functions, Traced
from kernels.model.model import Block, ModelError, Symbol, read_sections
from kernels.model.operations import Figures, Row, kind_of, rows_of, table
from kernels.model.shapes import Shape, read_shapes
from kernels.model.stock import SECTIONS
from tests.support.published import CONFIGS


def test_the_shapes_are_those_that_the_checkpoints_publish() -> None:
    shapes = {shape.name: shape for shape in read_shapes()}
    assert shapes.keys() == CONFIGS.keys()
    gemma, phi = shapes["gemma3_multimodal"], shapes["phi4_fast"]
    assert gemma.linears == {
        "qkv": (8192, 5376), "o": (5376, 4096), "gate and up": (43008, 5376), "down": (5376, 21504),
    }  # fmt: skip
    assert (gemma.group, gemma.rotary, gemma.is_gemma) == (32, 128, True)
    assert (phi.group, phi.rotary, phi.is_gemma) == (128, 96, False)
    assert phi.linears["qkv"] == (5120, 3072)


@pytest.mark.parametrize("shape", read_shapes(), ids=lambda shape: shape.name)
def test_a_configuration_says_what_the_published_one_says(shape: Shape) -> None:
    """But for the language model of one that takes pictures, and a window that use_sliding_window switches off."""
    published = CONFIGS[shape.name].get("text_config", CONFIGS[shape.name])
    ours = shape.config()
    compared = (published.keys() & ours.keys()) - {"architectures", "quantization_config", "rope_scaling"}
    wanted = {key: published[key] for key in compared}
    if not published.get("use_sliding_window", True):
        wanted["sliding_window"] = None
    assert {key: ours[key] for key in compared} == wanted


def test_sections_come_back_in_order_with_their_blocks() -> None:
    lines = ["block 10 aa bb", "block 20 cc", "ran 0 1 0", "ran", "ran 1", "complete"]
    first, second = Block(0x10, ("aa", "bb")), Block(0x20, ("cc",))
    assert read_sections(lines, "p") == [[first, second, first], [], [second]]
    with pytest.raises(ModelError, match=r"^p: more than \d+ blocks ran"):
        read_sections([*lines[:-1], "limit"], "p")


def traced() -> Traced:
    functions = Functions({}, [(0x300, 0x400, "")], lambda _: False)
    functions.add(Symbol("kernel", 0x100, 0x180))
    functions.add(Symbol("caller", 0x200, 0x280))
    blocks = [Block(at, ("w",) * words) for at, words in ((0x200, 3), (0x100, 5), (0x17C, 1), (0x180, 9), (0x3FC, 2))]
    return Traced({"call": blocks}, functions)


def test_only_the_functions_that_are_counted_are_in_the_figures() -> None:
    blocks, symbols = traced().of("call", lambda name: name == "kernel")
    assert ([block.address for block in blocks], [symbol.name for symbol in symbols]) == ([0x100, 0x17C], ["kernel"])
    assert traced().instructions("call") == {"caller": 3, "kernel": 6, "(elsewhere)": 9, GENERATED: 2}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cpp_fused__to_copy_add_linear_w4_mean_mul_pow_rsqrt_6", "norms"),
        ("cpp_fused_linear_w4_mul_silu_slice_3", "activation"),
        ("cpp_fused_gelu_mul_slice_9", "activation"),
        ("cpp_fused_add_index_select_mul_split_split_with_sizes_sub_unsqueeze_view_1", "rotary"),
        ("cpp_fused__to_copy_index_select_mean_mul_pow_rsqrt_split_2", "rotary"),
        ("cpp_fused_slice_view_2", "other"),
    ],
)
def test_a_loop_is_told_by_the_operators_in_its_name(name: str, kind: str) -> None:
    assert kind_of(loop("x", name)) == kind


def loop(symbol: str, name: str, calls: int = 1) -> Loop:
    return Loop("m", name, symbol, "", calls, [])


def test_the_loops_of_the_step_of_one_token_are_read(tmp_path: Path) -> None:
    calls = {"64": [["prompt"]] * 3, "1": [[{"value": 1}]] * 3}
    listed = [{"name": "a", "source": "A", "calls": calls}, {"name": "b", "source": "B", "calls": {"64": [[]]}}]
    (tmp_path / "m.json").write_text(json.dumps({"flags": ["-O3"], "loops": listed}))
    flags, loops = read_loops("m", tmp_path / "m.json")
    assert (flags, loops) == (["-O3"], [Loop("m", "a", "m_0", "A", 3, [{"value": 1}])])


def figures() -> Figures:
    """Every section and case takes 1000 cycles for what it did."""
    loops = {"first": 10, "norm": 600, "turn": 300, "gate": 900}
    cases = json.loads((Path(__file__).parents[3] / "kernels/bench/baseline.json").read_text())["cases"]
    return Figures(dict.fromkeys(SECTIONS, 1000) | loops, dict.fromkeys(cases, 1000.0))


def test_a_figure_is_scaled_to_the_shape_of_the_model() -> None:
    """Mistral: 4096 wide, 14336 inside, 32 and 8 heads of 128, groups of 128, 32768 words."""
    shape = next(shape for shape in read_shapes() if shape.name == "mistral_balanced")
    step = [
        loop("first", "cpp_embedding_rsqrt_0"),
        loop("turn", "cpp_index_select_1", 3),
        loop("norm", "cpp_rsqrt_2", 6),
        loop("gate", "cpp_silu_3", 3),
    ]
    rows = {row.operation: row for row in rows_of(shape, step, figures())}
    norms = rows["norms of a layer, with their additions"]
    assert (norms.calls, norms.cycles) == (32, {"inductor": 1200, "vLLM": 2000, "ours": 2000})
    assert rows["SwiGLU"].cycles == {"inductor": 900, "vLLM": 3500, "ours": 3500}
    turned = rows["rotary embedding"].cycles
    assert {party: round(value) for party, value in turned.items()} == {"inductor": 300, "vLLM": 1000, "ours": 1667}
    assert rows["KV cache written"].cycles == {"vLLM": 1000}
    assert rows["attention, 1024 tokens of context"].cycles == {"vLLM": 8000, "ours": 8000}
    assert round(rows["linear, down: 4096 x 14336"].cycles["ours"]) == 597_333 + 14_000
    assert rows["output head: 32768 x 4096"].cycles["oneDNN"] == 512_000


def test_who_serves_without_being_the_fastest_stands_out() -> None:
    rows = [
        Row("a", 32, "inductor", {"inductor": 1200.4, "ours": 900}, "why"),
        Row("b", 1, "ours", {"torch": 2_500_000, "ours": 24_148}),
        Row("c", 0, "vLLM", {"vLLM": 12}),
    ]
    assert table(rows).splitlines()[2:] == [
        "| a | 32 | 1200 |  |  |  | 900 | inductor | **ours** why |",
        "| b | 1 |  |  | 2.5M |  | 24.1k | ours | ours |",
        "| c |  |  | 12 |  |  |  | vLLM | alone |",
    ]
