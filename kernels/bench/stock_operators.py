"""Run operators as they serve on Arm, each between two marks: in emulation, under the plugin of ../model/trace.c.

    python stock_operators.py ASKED TOLD

ASKED is a JSON list of calls, each with a name, one of OPERATORS and its arguments. TOLD becomes a JSON object: the
names in the order of their sections, where each library was loaded, and where code without names lies. One thread, so
that a section is whole.
"""

import ctypes
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

MARK = 0x6D61726B  # trace.c's
HEAD = 128  # values of a head, in all four models
KV_BLOCK = 128  # tokens of a block of vLLM's KV cache on a CPU, by default
ALIGNMENT = 64

Call = Callable[[], Any]


def values(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def rms_norm(hidden: int, rows: int = 1) -> Call:
    x, weight = values(rows, hidden), values(hidden)
    return lambda: torch.ops._C.rms_norm(x.clone(), x, weight, 1e-6)


def fused_add_rms_norm(hidden: int, rows: int = 1) -> Call:
    x, residual, weight = values(rows, hidden), values(rows, hidden), values(hidden)
    return lambda: torch.ops._C.fused_add_rms_norm(x, residual, weight, 1e-6)


def rotary_embedding(heads: int, kv_heads: int, rotary: int) -> Call:
    query, key, cache = values(1, heads * HEAD), values(1, kv_heads * HEAD), values(16, rotary)
    positions = torch.tensor([3])
    return lambda: torch.ops._C.rotary_embedding(positions, query, key, HEAD, cache, True)


def gated(kind: str, width: int) -> Call:
    x, out = values(1, 2 * width), values(1, width)
    operator = getattr(torch.ops._C, kind)
    return lambda: operator(out, x)


def _cache(kv_heads: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values as vLLM's backend cuts them out of its one tensor."""
    blocks = -(-tokens // KV_BLOCK)
    whole = values(blocks, kv_heads, KV_BLOCK, 2 * HEAD).view(blocks, kv_heads, 2 * KV_BLOCK, HEAD)
    keys, kept = whole.chunk(2, dim=2)
    return keys, kept


def cache_write(kv_heads: int) -> Call:
    keys, kept = _cache(kv_heads, KV_BLOCK)
    key, value, slots = values(1, kv_heads, HEAD), values(1, kv_heads, HEAD), torch.tensor([5])
    return lambda: torch.ops._C.cpu_attn_reshape_and_cache(key, value, keys, kept, slots, "neon", 1.0, 1.0, "auto")


def attention(heads: int, kv_heads: int, queries: int, context: int, window: int = -1) -> Call:
    keys, kept = _cache(kv_heads, context)
    query, out = values(queries, heads, HEAD), values(queries, heads, HEAD)
    starts, lengths = torch.tensor([0, queries], dtype=torch.int32), torch.tensor([context], dtype=torch.int32)
    table = torch.arange(keys.shape[0], dtype=torch.int32)[None]
    plan = torch.ops._C.get_scheduler_metadata(
        1, heads, kv_heads, HEAD, lengths, torch.bfloat16, starts, True, window, "neon", True, None, "auto"
    )
    return lambda: torch.ops._C.cpu_attention_with_kv_cache(
        query, keys, kept, out, starts, lengths, HEAD**-0.5, True, None, window, table, 0.0, plan, None, None,
        1.0, 1.0, "auto",
    )  # fmt: skip


def onednn_mm(m: int, n: int, k: int, *, wide: bool = False) -> Call:
    """`wide`: float results, as vLLM asks for where there are 64000 columns or more."""
    weight, x = values(n, k), values(m, k)
    out = values(m, n, dtype=torch.float32 if wide else torch.bfloat16)
    handler = torch.tensor(torch.ops._C.create_onednn_mm_handler(weight.t(), 32), dtype=torch.int64)
    return lambda: torch.ops._C.onednn_mm(out, x, None, handler)


def to_float(count: int) -> Call:
    x = values(1, count)
    return lambda: x.to(torch.float32)


def temperature(count: int) -> Call:
    x, divisor = values(1, count, dtype=torch.float32), torch.tensor([[0.7]])
    return lambda: x.div_(divisor)


def sort(count: int) -> Call:
    x = values(1, count, dtype=torch.float32)
    return lambda: x.sort(dim=-1, descending=False)


def mask_below(count: int) -> Call:
    """What vLLM does with sorted logits: the k-th value, probabilities, their sums, two masks, and back in order."""
    ordered, places = values(1, count, dtype=torch.float32).sort(dim=-1)
    k, p, logits = torch.tensor([20]), torch.tensor([0.8]), torch.empty_like(ordered)

    def run() -> torch.Tensor:
        threshold = ordered.gather(1, (ordered.size(1) - k.to(torch.long)).unsqueeze(dim=1))
        ordered.masked_fill_(ordered < threshold, -float("inf"))
        sums = ordered.softmax(dim=-1)
        torch.cumsum(sums, dim=-1, out=sums)
        mask = sums <= 1 - p.unsqueeze(dim=1)
        mask[:, -1] = False
        ordered.masked_fill_(mask, -float("inf"))
        return logits.scatter_(dim=-1, index=places, src=ordered)

    return run


def greedy_argmax(count: int) -> Call:
    x = values(1, count, dtype=torch.float32)
    return lambda: torch.ops._C.greedy_argmax(x)


def gumbel_argmax(count: int) -> Call:
    x, seeds = values(1, count, dtype=torch.float32), torch.tensor([7])
    return lambda: torch.ops._C.fused_gumbel_argmax(x, seeds)


def penalties(count: int, said: int) -> Call:
    """vLLM's apply_penalties, as it is on a CPU: counts, masks and factors of the whole vocabulary."""
    logits, tokens = values(1, count, dtype=torch.float32), torch.randint(0, count, (1, said))
    repetition, frequency, presence = torch.tensor([1.1]), torch.tensor([0.1]), torch.tensor([0.1])

    def counted(listed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bins = torch.zeros((1, count + 1), dtype=torch.long)
        bins.scatter_add_(1, listed, torch.ones_like(listed))
        bins = bins[:, :count]
        return bins, bins > 0

    def run() -> torch.Tensor:
        _, prompt_mask = counted(tokens)
        bins, mask = counted(tokens)
        factors = repetition.unsqueeze(dim=1).repeat(1, count)
        factors = torch.where(prompt_mask | mask, factors, 1.0)
        logits.mul_(torch.where(logits > 0, 1.0 / factors, factors))
        logits.sub_(frequency.unsqueeze(dim=1) * bins)
        return logits.sub_(presence.unsqueeze(dim=1) * mask)

    return run


def log_softmax(count: int) -> Call:
    x = values(1, count)
    return lambda: x.log_softmax(dim=-1, dtype=torch.float32)


def take_rows(hidden: int) -> Call:
    x, rows = values(4, hidden), torch.tensor([3])
    return lambda: x[rows]


def loop(library: str, function: str, arguments: list[dict[str, int]]) -> Call:
    """A loop of inductor's: buffers of ones, or zeros where it reads integers, and its plain numbers."""
    compiled = ctypes.CDLL(library)[function]
    held: list[torch.Tensor] = []
    passed: list[Any] = []
    for argument in arguments:
        if "bytes" not in argument:
            passed.append(ctypes.c_int64(argument["value"]))
            continue
        raw = torch.zeros(argument["bytes"] + 2 * ALIGNMENT, dtype=torch.uint8)
        start = -raw.data_ptr() % ALIGNMENT
        buffer = raw[start : start + argument["bytes"]]
        if argument["fill"]:
            buffer.view(torch.bfloat16).fill_(1.0)
        held.append(raw)
        passed.append(ctypes.c_void_p(buffer.data_ptr()))

    def run() -> None:
        compiled(*passed)
        assert held  # alive until here

    return run


OPERATORS: dict[str, Callable[..., Call]] = {
    made.__name__: made
    for made in (
        rms_norm, fused_add_rms_norm, rotary_embedding, gated, cache_write, attention, onednn_mm, to_float, temperature,
        sort, mask_below, greedy_argmax, gumbel_argmax, penalties, log_softmax, take_rows, loop,
    )
}  # fmt: skip


class LinkMap(ctypes.Structure):
    """The dynamic linker's list of what is loaded, the documented beginning of it: <link.h>."""


LinkMap._fields_ = [
    ("address", ctypes.c_size_t), ("name", ctypes.c_char_p), ("dynamic", ctypes.c_void_p),
    ("next", ctypes.POINTER(LinkMap)), ("previous", ctypes.POINTER(LinkMap)),
]  # fmt: skip


def loaded() -> Iterator[tuple[str, int]]:
    """Each library's path and what is added to its addresses."""
    entry = ctypes.cast(ctypes.CDLL(None)._handle, ctypes.POINTER(LinkMap))
    while entry:
        if entry.contents.name:
            yield entry.contents.name.decode(), entry.contents.address
        entry = entry.contents.next


def code_without_names() -> list[tuple[int, int, str]]:
    """Begin, end and file of what is executable in libraries without symbols; what was made here has no file."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    found = []
    for line in lines:
        name = Path(line[5]).name if len(line) > 5 else ""
        if "x" in line[1] and name in ("", "libm.so.6", "libc.so.6"):
            begin, _, end = line[0].partition("-")
            found.append((int(begin, 16), int(end, 16), name))
    return found


def main() -> None:
    asked, told = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    torch.ops.load_library(str(Path(torch.__file__).parents[1] / "vllm" / "_C.abi3.so"))
    system_call = ctypes.CDLL(None).syscall
    named = []
    with torch.inference_mode():
        for entry in json.loads(asked.read_text()):
            run = OPERATORS[entry["operator"]](**entry["arguments"])
            run()  # what is made at a first call is not a step's
            system_call(MARK, 1)
            run()
            system_call(MARK, 0)
            named.append(entry["name"])
            print(entry["name"], file=sys.stderr, flush=True)
    told.write_text(json.dumps({"sections": named, "libraries": dict(loaded()), "unnamed": code_without_names()}))


if __name__ == "__main__":
    main()
