"""What the sampler is worth in real vLLM: tokens/s with the plug-in's and with vLLM's own, in turns in one run.

    PYTHONPATH=SITE ENGINE_PYTHON kernels/bench/sampler_serving.py [--rounds 5] [--tokens 64] [--threads N]

SITE holds the unpacked wheel axion_kernels. A tiny random model with a vocabulary of 152064 is written to a temporary
folder and loaded by two processes, one with AXION_KERNELS=none, one with AXION_KERNELS=sampler. While one answers the
other waits. The model is small so that what is seen is the sampler: of a large one it is a smaller share.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VOCABULARY = 152064
BATCHES = (1, 8)
SAMPLING = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "ignore_eos": True}


def write_model(directory: str) -> None:
    """Qwen2's architecture, two layers of 64."""
    import torch  # noqa: PLC0415  # only the children need vLLM and only this needs transformers: each takes seconds
    import transformers  # noqa: PLC0415

    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=512, initializer_range=0.2, tie_word_embeddings=True,
    )  # fmt: skip
    transformers.Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)


def serve(model: str) -> None:
    """Answer lines {"batch", "tokens"} on stdin with {"seconds"}; the first line out tells what runs here."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # vLLM logs to stdout, from its import on
    import torch  # noqa: PLC0415
    from vllm import LLM, SamplingParams, __version__  # noqa: PLC0415

    llm = LLM(
        model, dtype="bfloat16", max_model_len=512, max_num_seqs=max(BATCHES), enforce_eager=True,
        kv_cache_memory_bytes=64 << 20, skip_tokenizer_init=True,
    )  # fmt: skip
    report = os.environ.get("AXION_KERNELS_REPORT")
    facts = json.loads(Path(report).read_text()) if report else {}
    about = {"vllm": __version__, "threads": torch.get_num_threads(), "isa": facts.get("isa")}
    print(json.dumps(about), file=answers)
    for line in sys.stdin:
        work = json.loads(line)
        sampling = SamplingParams(**SAMPLING, max_tokens=work["tokens"], detokenize=False)
        prompts: Any = [{"prompt_token_ids": [*range(row, row + 10)]} for row in range(work["batch"])]
        start = time.perf_counter()
        outputs = llm.generate(prompts, sampling, use_tqdm=False)
        seconds = time.perf_counter() - start
        assert all(len(output.outputs[0].token_ids) == work["tokens"] for output in outputs)
        print(json.dumps({"seconds": seconds}), file=answers)


class Server:
    """A process that serves with the given kernels."""

    def __init__(self, model: str, kernels: str, threads: int) -> None:
        self.log = Path(model) / f"{kernels}.log"
        environment = {
            **os.environ, "AXION_KERNELS": kernels, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1",
        }  # fmt: skip
        command = [sys.executable, __file__, "--serve", model]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.about = self._read()

    def seconds(self, batch: int, tokens: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"batch": batch, "tokens": tokens}) + "\n")
        self.process.stdin.flush()
        return float(self._read()["seconds"])

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"vLLM ended: {self.log.read_text()[-3000:]}")
        return json.loads(line)


@dataclass(frozen=True)
class Row:
    """Both servers' tokens/s with one batch: medians, and the least and the most."""

    batch: int
    off_tokens_per_s: float
    off_range: tuple[float, float]
    on_tokens_per_s: float
    on_range: tuple[float, float]
    ratio_of_medians: float


def measure(off: Server, on: Server, batch: int, rounds: int, tokens: int) -> Row:
    for server in (off, on):
        server.seconds(batch, 8)
    without: list[float] = []
    with_it: list[float] = []
    for _ in range(rounds):
        without.append(batch * tokens / off.seconds(batch, tokens))
        with_it.append(batch * tokens / on.seconds(batch, tokens))
    before, now = statistics.median(without), statistics.median(with_it)
    return Row(
        batch=batch,
        off_tokens_per_s=round(before, 1),
        off_range=(round(min(without), 1), round(max(without), 1)),
        on_tokens_per_s=round(now, 1),
        on_range=(round(min(with_it), 1), round(max(with_it), 1)),
        ratio_of_medians=round(now / before, 2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--serve", metavar="MODEL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    with tempfile.TemporaryDirectory() as model:
        write_model(model)
        off, on = (Server(model, kernels, options.threads) for kernels in ("none", "sampler"))
        assert off.about["isa"] is None, "AXION_KERNELS=none, yet the plug-in reports"
        assert on.about["isa"] is not None, "PYTHONPATH: no plug-in axion_kernels that vLLM found"
        how = {"machine": os.uname().machine, **on.about, "vocabulary": VOCABULARY, "eager": True, **SAMPLING}
        print(json.dumps(how), flush=True)
        for batch in BATCHES:
            print(json.dumps(asdict(measure(off, on, batch, options.rounds, options.tokens))), flush=True)
        for server in (off, on):
            server.process.communicate()


if __name__ == "__main__":
    main()
