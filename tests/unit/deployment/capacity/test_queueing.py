"""The queue of an engine: by hand where it is M/M/1, and against a simulation of steps with the production models."""

from pathlib import Path

import pytest

from deployment.capacity.engine import Engine, Weights, engine_of
from deployment.capacity.kernels import Kernels, Rates
from deployment.capacity.machine import Machine, assumed
from deployment.capacity.queueing import Answers, Queue, Work
from deployment.models.load import load_deployment
from tests.support.engine_simulation import Seen, simulate

BASELINE = Path("kernels/bench/baseline.json")
MODELS = load_deployment(Path("models.yaml")).models
TENTH_S = Engine(
    weights=Weights(linear_bytes=10, head_bytes=0, linear_parameters=0, head_parameters=0, layers=1, sliding_layers=0,
                    sliding_window=0, cache_bytes=0, attention_macs=0),
    kernels=Kernels(Rates({1: 1.0}), Rates({1: 1.0}), 1.0, 1.0),
    machine=Machine(vcpus=1, core_bytes_per_s=100, host_bytes_per_s=100, step_overhead_s=0),
    threads=1,
)  # fmt: skip
"""Every step takes 0.1 s, whatever is in it."""


def queue_of(name: str, prompt: int, output: int) -> Queue:
    model = MODELS[name]
    engine = engine_of(model, assumed(32)["middle"], BASELINE)
    work = Work(prompt_tokens=prompt, output_tokens=output)
    return Queue(engine=engine, work=work, most=model.engine.max_num_seqs)


def simulated(queue: Queue, used: float, *, is_fixed: bool = False, requests: int = 1200) -> tuple[Answers, Seen]:
    per_s = used * queue.rates[-1]
    seen = simulate(
        queue.engine.step_s,
        per_s=per_s,
        prompt=queue.work.prompt_tokens,
        output=queue.work.output_tokens,
        most=queue.most,
        step_tokens=queue.engine.step_tokens,
        requests=requests,
        seed=1,
        is_fixed=is_fixed,
    )
    return queue.answers(per_s), seen


def test_one_place_is_the_queue_of_the_textbook() -> None:
    # A prompt's step and nine more: 1 s of service, 0.5 arrivals a second. M/M/1 waits 1 / (1 - 0.5) s if it waits.
    found = Queue(engine=TENTH_S, work=Work(prompt_tokens=8, output_tokens=10), most=1).answers(0.5)
    assert (found.used, found.busy) == pytest.approx((0.5, 0.5))
    assert found.ttft_s == pytest.approx(0.5 * 2 + 0.1)
    assert found.tokens_per_s == pytest.approx(10, rel=0.06)


def test_sequences_that_cost_nothing_more_are_served_at_the_same_time() -> None:
    queue = Queue(engine=TENTH_S, work=Work(prompt_tokens=8, output_tokens=11), most=4)
    # A prompt shares the steps of others, and costs a step only where there are none.
    assert queue.rates == pytest.approx([1 / 1.1, 2.0, 3.0, 4.0])


def test_an_empty_engine_answers_as_fast_as_a_step_allows() -> None:
    queue = queue_of("phi4_fast", 128, 64)
    found = queue.answers(1e-6)
    assert found.tokens_per_s == pytest.approx(1 / queue.steps_s[0], rel=1e-3)
    assert found.ttft_s == pytest.approx(queue.firsts_s[0], rel=1e-3) == found.ttft_p95_s


def test_no_engine_keeps_up_with_more_than_it_completes() -> None:
    queue = queue_of("phi4_fast", 128, 64)
    found = queue.answers(queue.rates[-1])
    assert found == Answers(used=1, busy=1)
    assert found.ttft_p95_s == float("inf")


CASES = [("phi4_fast", 128, 32), ("phi4_fast", 512, 128), ("qwen_coder", 128, 128), ("gemma3_multimodal", 512, 128)]


@pytest.mark.parametrize("is_fixed", [False, True], ids=["varied", "fixed"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_third_of_an_engine_is_as_in_the_simulation(case: tuple[str, int, int], is_fixed: bool) -> None:
    found, seen = simulated(queue_of(*case), 0.3, is_fixed=is_fixed)
    assert found.busy == pytest.approx(seen.busy, rel=0.1)
    assert found.ttft_s == pytest.approx(seen.ttft_s, rel=0.15)
    assert found.ttft_p95_s == pytest.approx(seen.ttft_p95_s, rel=0.35)
    assert found.tokens_per_s == pytest.approx(seen.tokens_per_s, rel=0.25)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_thirds_are_so_too_and_rather_too_slow_than_too_fast(case: tuple[str, int, int]) -> None:
    found, seen = simulated(queue_of(*case), 0.65)
    assert found.busy == pytest.approx(seen.busy, rel=0.1)
    assert 0.85 < found.ttft_s / seen.ttft_s < 1.5
    assert 0.85 < found.ttft_p95_s / seen.ttft_p95_s < 1.8
    assert found.tokens_per_s == pytest.approx(seen.tokens_per_s, rel=0.25)


def test_the_simulation_completes_as_many_as_the_chain_says_when_it_is_never_idle() -> None:
    queue = queue_of("qwen_coder", 256, 64)
    _, seen = simulated(queue, 1.5, requests=600)
    assert seen.per_s == pytest.approx(queue.rates[-1], rel=0.1)


def test_the_simulation_can_tell_a_slower_engine() -> None:
    """Negative control: what is compared above differs where it should."""
    queue = queue_of("phi4_fast", 128, 32)
    per_s = 0.3 * queue.rates[-1]
    fast = simulate(queue.engine.step_s, per_s=per_s, prompt=128, output=32, most=8, step_tokens=128, requests=600,
                    seed=1)  # fmt: skip
    slow = simulate(lambda **step: 1.5 * queue.engine.step_s(**step), per_s=per_s, prompt=128, output=32, most=8,
                    step_tokens=128, requests=600, seed=1)  # fmt: skip
    assert slow.ttft_s > 1.5 * fast.ttft_s
    assert slow.tokens_per_s < fast.tokens_per_s / 1.5
