"""Sizes against published parameter counts, vLLM's own documented figures, and hand-made sums."""

from pathlib import Path

import pytest

from deployment.errors import ConfigError
from deployment.footprint import footprint, weight_bytes
from deployment.kv_cache import growing_bytes_per_token, layer_bytes_per_token, sequence_bytes
from deployment.load import load_deployment
from deployment.quantities import GIB, MIB
from deployment.sizing import HostFacts, Plan, plan
from tests.deployments import deployment, model

REPOSITORY = Path(__file__).parents[1]
PRODUCTION = load_deployment(REPOSITORY / "models.yaml")
C4A_STANDARD_32 = HostFacts(name="c4a-standard-32", cores=32, memory_bytes=125 * GIB)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # as the hub counts them for the unquantized checkpoints
        ("phi4_fast", 3_836_021_760),
        ("qwen_coder", 7_615_616_512),
        ("mistral_balanced", 7_248_023_552),
        ("gemma3_multimodal", 27_432_406_640),
    ],
)
def test_parameters_equal_the_published_count(name: str, parameters: int) -> None:
    assert PRODUCTION.models[name].architecture.parameters == parameters


@pytest.mark.parametrize(
    ("name", "kib"),
    [("phi4_fast", 128), ("qwen_coder", 56), ("mistral_balanced", 128), ("gemma3_multimodal", 80)],
)
def test_a_further_token_of_context_costs_what_the_layers_without_a_window_store(name: str, kib: int) -> None:
    assert growing_bytes_per_token(PRODUCTION.models[name].architecture, "bfloat16") == kib * 1024


def test_gemmas_windowed_layers_store_416_mib_for_a_full_window() -> None:
    shape = PRODUCTION.models["gemma3_multimodal"].architecture
    assert shape.sliding_layers == 52
    assert 52 * layer_bytes_per_token(shape, "bfloat16") * 1024 == 416 * MIB


def test_windowed_layers_stop_growing_beyond_the_window() -> None:
    shape = PRODUCTION.models["gemma3_multimodal"].architecture
    sizes = [sequence_bytes(shape, "bfloat16", tokens=tokens, step_tokens=2048) for tokens in (8192, 16384)]
    assert sizes[1] - sizes[0] == 8192 * 80 * 1024


def test_windowed_layers_are_padded_to_whole_groups_and_keep_a_step_beside_the_window() -> None:
    shape = PRODUCTION.models["gemma3_multimodal"].architecture
    # 60 stored layers of ceil((1023 + 2048) / 128) + 1 = 25 blocks, 10 of 64 blocks, 8 KiB a token and layer.
    assert sequence_bytes(shape, "bfloat16", tokens=8192, step_tokens=2048) == (60 * 25 + 10 * 64) * 128 * 8192


def test_int4_weights_count_scales_and_zero_points_per_group() -> None:
    one_layer = model(engine={"quantization": "awq"}, weights={"path": "x", "group_size": 32})
    tiny = deployment({"tiny": one_layer}).models["tiny"]
    # 2 layers of q 64x64, k and v 64x32, o 64x64, three MLP matrices of 64x128: 73,728 weights, 2,304 groups of
    # 16 bytes of nibbles, 2 of scale and half a byte of zero point; 512x64 embeddings, 2x(2x64 + 128) + 64 others.
    assert weight_bytes(tiny) == 2304 * 37 // 2 + (32768 + 576) * 2


def test_online_int4_counts_like_int4_in_the_smallest_groups() -> None:
    online = deployment({"tiny": model(engine={"quantization": "axion_w4"})}).models["tiny"]
    assert weight_bytes(online) == 2304 * 37 // 2 + (32768 + 576) * 2


def test_awq_checkpoints_come_out_at_their_published_sizes() -> None:
    """5.57 GB for Qwen2.5-7B-Instruct-AWQ and 4.15 GB for Mistral-7B AWQ, as their repositories list."""
    assert weight_bytes(PRODUCTION.models["qwen_coder"]) == pytest.approx(5.57e9, rel=0.01)
    assert weight_bytes(PRODUCTION.models["mistral_balanced"]) == pytest.approx(4.15e9, rel=0.01)


def test_every_term_of_a_footprint_is_in_its_total() -> None:
    one = footprint(PRODUCTION.models["phi4_fast"])
    assert one.total == one.weights + one.output_head_copy + one.kv_cache + one.activations + one.runtime
    assert one.kv_cache == 3 * GIB
    assert one.output_head_copy == 200064 * 3072 * 2
    assert one.weights == 3_836_021_760 * 2


def production_plan() -> Plan:
    return plan(PRODUCTION, C4A_STANDARD_32, "/opt/axion")


def test_production_fits_a_c4a_standard_32_with_disjoint_cores() -> None:
    engines = production_plan().engines
    assert {name: each.core_list for name, each in engines.items()} == {
        "gemma3_multimodal": "4-17",
        "mistral_balanced": "18-23",
        "qwen_coder": "24-28",
        "phi4_fast": "29-31",
    }
    assert production_plan().system_cores == (0, 1, 2, 3)


def test_one_core_of_each_set_is_left_to_the_engines_scheduler() -> None:
    gemma = production_plan().engines["gemma3_multimodal"]
    assert (gemma.thread_binding, gemma.compute_threads) == ("5-17", 13)


def test_memory_limits_leave_headroom_over_the_expected_total() -> None:
    for each in production_plan().engines.values():
        assert each.footprint.total * 1.15 <= each.footprint.limit <= each.footprint.total * 1.15 + MIB


def test_each_engine_listens_on_its_own_socket() -> None:
    sockets = {each.socket for each in production_plan().engines.values()}
    assert sockets == {
        f"/opt/axion/run/{name}.sock" for name in ("phi4_fast", "qwen_coder", "mistral_balanced", "gemma3_multimodal")
    }


def refusal(host: HostFacts, root: str = "/opt/axion") -> str:
    with pytest.raises(ConfigError) as caught:
        plan(PRODUCTION, host, root)
    return "\n".join(caught.value.problems)


def test_too_few_cores_are_refused_with_every_term_and_the_difference() -> None:
    text = refusal(HostFacts(name="c4a-standard-16", cores=16, memory_bytes=256 * GIB))
    assert "c4a-standard-16 has 16 cores, got 32 (host.reserved_cores 4 + gemma3_multimodal 14" in text
    assert "mistral_balanced 6 + qwen_coder 5 + phi4_fast 3). Lower cores by 16" in text


def test_too_little_memory_is_refused_with_every_term_of_every_engine() -> None:
    text = refusal(HostFacts(name="small", cores=32, memory_bytes=64 * GIB))
    assert text.startswith("models: small has 64.0 GiB of memory, got 77.4 GiB (host.reserved_memory 6.0 GiB")
    assert "Free 13.4 GiB: lower kv_cache_memory_bytes (largest: gemma3_multimodal)" in text
    for name in PRODUCTION.models:
        assert f"\n    {name} " in text
    assert "weights 17.2 GiB, packed copy of the output head 2.6 GiB, KV cache 12.0 GiB" in text


def test_cores_and_memory_are_refused_in_one_report() -> None:
    text = refusal(HostFacts(name="laptop", cores=2, memory_bytes=8 * GIB))
    assert "laptop has 2 cores" in text
    assert "laptop has 8.0 GiB" in text


def test_a_root_too_long_for_a_unix_socket_is_refused() -> None:
    text = refusal(C4A_STANDARD_32, "/" + "deep/" * 20 + "root")
    assert "too long for the sockets of" in text


def test_a_root_that_is_too_long_for_the_process_runner_alone_is_refused() -> None:
    served = deployment({"a": model()}, host={"reserved_cores": 0, "core_policy": "shared"})
    laptop = HostFacts(name="laptop", cores=2, memory_bytes=16 * GIB)
    longest = "/" + "r" * (107 - len(".4194304") - len("/run/supervisor.sock") - 1)
    assert plan(served, laptop, longest).engines["a"].socket == f"{longest}/run/a.sock"
    with pytest.raises(
        ConfigError, match=r"too long for the sockets of supervisor, got 100 bytes where Linux takes 99"
    ):
        plan(served, laptop, f"{longest}r")


def test_small_machines_share_their_cores_and_bind_no_thread() -> None:
    small = deployment(host={"reserved_cores": 0, "core_policy": "shared"})
    engines = plan(small, HostFacts(name="laptop", cores=2, memory_bytes=16 * GIB), "/tmp/root").engines
    assert {(each.core_list, each.thread_binding, each.compute_threads) for each in engines.values()} == {
        ("0-1", "nobind", 1)
    }


def test_the_kv_cache_is_told_in_sequences_of_full_length() -> None:
    # 6 GiB at 128 KiB a token and 8192 tokens: 1 GiB a sequence.
    assert production_plan().engines["mistral_balanced"].full_length_sequences == 6
