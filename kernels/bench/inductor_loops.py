"""The C++ that inductor generates for a Neoverse V2 when vLLM serves a model: written down here, compiled elsewhere.

    PYTHONPATH=SITE ENGINE_PYTHON kernels/bench/inductor_loops.py CONFIG OUT [--layers 3]

in the engine environment of an x86-64 machine. CONFIG is a model's config.json; vLLM serves it with so many layers and
a small vocabulary, random weights and the plug-in as deployed: a prompt and two tokens of its answer. torch is told
that it generates for a processor with SVE of 128 bits; each loop is recorded with what it is given, and computes
nothing. OUT becomes a JSON object: the compiler's flags, and of each loop its name, its source and its calls by the
number of tokens in a step.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

PROMPT_TOKENS = 8
VOCABULARY = 1024  # what is looked up in it does not depend on its length
POSITIONS = 4096


class Loop:
    """One loop in place of its compiled form. A call is told by the number of tokens, inductor's one plain number."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.name = ""
        self.calls: dict[int, list[list[dict[str, int]]]] = {}

    def __call__(self, *given: Any) -> None:
        if not self.name:
            of_graph = sys._getframe(1).f_globals
            self.name = next(name for name, value in of_graph.items() if value is self)
        arguments = [_argument(one) for one in given]
        tokens = max((one["value"] for one in arguments if "value" in one), default=0)
        self.calls.setdefault(tokens, []).append(arguments)


def _argument(given: Any) -> dict[str, int]:
    if isinstance(given, int):
        return {"value": given}
    left = given.untyped_storage().nbytes() - given.storage_offset() * given.element_size()
    return {"bytes": left, "fill": int(given.dtype.is_floating_point)}


def record(loops: list[Loop]) -> None:
    """Let inductor generate for Neoverse V2, and keep what it would compile."""
    from torch._inductor import config, cpu_vec_isa  # noqa: PLC0415 - once the environment is set
    from torch._inductor.async_compile import AsyncCompile  # noqa: PLC0415

    target = cpu_vec_isa.VecSVE(128)
    target._armv9a_supported = True
    cpu_vec_isa.valid_vec_isa_list = lambda: [target]
    config.cpp.vec_isa_ok = True

    def keep(_self: AsyncCompile, _types: list[str], source: str) -> Loop:
        loops.append(Loop(source))
        return loops[-1]

    AsyncCompile.cpp_pybinding = keep


def flags() -> list[str]:
    """What inductor would call the compiler with on such a machine, without where it would look for headers."""
    from torch._inductor.cpp_builder import CppTorchOptions  # noqa: PLC0415
    from torch._inductor.cpu_vec_isa import pick_vec_isa  # noqa: PLC0415

    target = pick_vec_isa()
    options = CppTorchOptions(vec_isa=target, warning_all=False)
    general = [f"-{flag}" for flag in options.get_cflags()] + [f"-D {name}" for name in options.get_definitions()]
    words = " ".join((*general, target.build_arch_flags())).split()
    return [word for word in words if word not in ("-fopenmp", "-march=native")]


def serve(config: dict[str, Any], layers: int) -> None:
    from vllm import LLM, SamplingParams  # noqa: PLC0415 - takes seconds

    small = {"num_hidden_layers": layers, "vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps({**config, **small}))
        llm = LLM(
            folder, dtype="bfloat16", load_format="dummy", skip_tokenizer_init=True, max_model_len=2 * PROMPT_TOKENS,
            max_num_seqs=2, max_num_batched_tokens=2 * PROMPT_TOKENS, kv_cache_memory_bytes=64 << 20,
            enable_prefix_caching=False,
        )  # fmt: skip
        prompt: Any = {"prompt_token_ids": list(range(1, PROMPT_TOKENS + 1))}
        asked = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True, detokenize=False)
        llm.generate([prompt], asked, use_tqdm=False)


def main() -> None:
    parser = argparse.ArgumentParser(description="The loops that inductor generates for a model on Neoverse V2.")
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {
            "TORCHINDUCTOR_CACHE_DIR": cache, "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "VLLM_DISABLE_COMPILE_CACHE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        }  # fmt: skip
        loops: list[Loop] = []
        record(loops)
        serve(json.loads(given.config.read_text()), given.layers)
        ran = [loop for loop in loops if loop.calls]
        told = [{"name": loop.name, "source": loop.source, "calls": loop.calls} for loop in ran]
        given.out.write_text(json.dumps({"flags": flags(), "loops": told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
