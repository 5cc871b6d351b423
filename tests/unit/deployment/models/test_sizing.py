"""What every engine gets of a host, and how a deployment that does not fit is refused."""

from pathlib import Path
from typing import Any

import pytest

from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.models.memory import estimate_memory, packed_bytes
from deployment.models.sizing import HostFacts, Plan, plan
from deployment.models.spec import Deployment
from deployment.quantities import GIB, MIB
from tests.support.deployments import deployment, model
from tests.support.hollow import TINY, checkpoint

REPOSITORY = Path(__file__).parents[4]
PRODUCTION = load_deployment(REPOSITORY / "models.yaml")
C4A_STANDARD_32 = HostFacts(name="c4a-standard-32", cores=32, memory_bytes=125 * GIB)


def test_every_term_of_an_estimate_is_in_its_total() -> None:
    one = estimate_memory(PRODUCTION.models["phi4_fast"])
    assert one.total == one.weights + one.output_head_copy + one.kv_cache + one.activations + one.runtime
    assert one.kv_cache == 3 * GIB
    assert one.output_head_copy == 200064 * 3072  # in int8
    # Three parts linear layers in groups of 128, of 68 bytes each; embedding and norms in 16 bits.
    assert one.weights == 3_221_225_472 // 128 * 68 + (614_596_608 + 199_680) * 2


@pytest.mark.parametrize(
    ("name", "int4", "head"),
    [
        # Weights by the bytes of a group: 68 for 128, 20 for 32; a head's row has a scale of four bytes.
        ("phi4_fast", 3_221_225_472 // 128 * 68, 200064 * (3072 + 4)),
        ("gemma3_multimodal", 25_598_361_600 // 32 * 20, 262208 * (5376 + 4)),
    ],
)
def test_what_keeping_packed_weights_takes_of_the_disk(name: str, int4: int, head: int) -> None:
    assert packed_bytes(PRODUCTION.models[name]) == int4 + head


def test_an_engine_that_packs_nothing_keeps_nothing() -> None:
    plain = model(kernels={"lm_head": False})
    assert packed_bytes(deployment({"alpha": plain}).models["alpha"]) == 0
    head = model(kernels={"lm_head": True})
    assert packed_bytes(deployment({"alpha": head}).models["alpha"]) == TINY["vocab_size"] * (TINY["hidden_size"] + 4)


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
        assert each.memory.total * 1.15 <= each.memory.limit <= each.memory.total * 1.15 + MIB


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
    assert text.startswith("models: small has 64.0 GiB of memory, got 70.9 GiB (host.reserved_memory 6.0 GiB")
    assert "Free 6.9 GiB: lower kv_cache_memory_bytes (largest: gemma3_multimodal)" in text
    for name in PRODUCTION.models:
        assert f"\n    {name} " in text
    assert "weights 18.3 GiB, packed copy of the output head 1.3 GiB, KV cache 12.0 GiB" in text


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


def test_lent_cores_are_assigned_like_own_ones_and_no_thread_is_bound_by_vllm() -> None:
    """The plug-in binds them. A core that no engine is at home on is lent too, and the system's are not."""
    lent = deployment({"a": model(cores=3), "b": model(cores=1)}, host={"reserved_cores": 2, "core_policy": "elastic"})
    engines = plan(lent, HostFacts(name="small", cores=8, memory_bytes=16 * GIB), "/tmp/root").engines
    told = {
        name: (each.core_list, each.lent_list, each.allowed_list, each.compute_list, each.compute_threads)
        for name, each in engines.items()
    }
    assert told == {"a": ("2-4", "5-7", "2-7", "3-4", 2), "b": ("5", "2-4,6-7", "2-7", "5", 1)}
    assert {each.thread_binding for each in engines.values()} == {"nobind"}


def test_more_cores_than_there_are_cannot_be_lent_either() -> None:
    wide = deployment({"a": model(cores=9)}, host={"reserved_cores": 0, "core_policy": "elastic"})
    with pytest.raises(ConfigError, match=r"small has 8 cores, got 9"):
        plan(wide, HostFacts(name="small", cores=8, memory_bytes=16 * GIB), "/tmp/root")


def test_the_kv_cache_is_told_in_sequences_of_full_length() -> None:
    # 6 GiB at 128 KiB a token and 8192 tokens, 1 GiB a sequence; one block of the pool is never given out.
    assert production_plan().engines["mistral_balanced"].full_length_sequences == 5


def test_a_head_that_is_quantized_like_the_rest_has_no_second_copy() -> None:
    packed = quantized(lm_head=True)
    plain = quantized()
    assert estimate_memory(packed.models["a"]).output_head_copy == 0
    assert estimate_memory(plain.models["a"]).output_head_copy == 512 * 128 * 2


def test_an_int8_head_has_a_copy_of_a_byte_for_each_weight() -> None:
    served = deployment({"a": model(kernels={"lm_head": True})})
    assert estimate_memory(served.models["a"]).output_head_copy == 512 * 64


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}


def quantized(**changes: Any) -> Deployment:
    config = {**TINY, "hidden_size": 128, "head_dim": 64, "tie_word_embeddings": False}
    facts = checkpoint(config, quantization_config={**GPTQ, **changes})
    return deployment({"a": model()}, {"a": facts})
