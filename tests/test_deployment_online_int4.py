"""`quantization: axion_w4`: what a models file that asks for it is held against."""

from deployment.checkpoint import mismatches
from tests.deployments import deployment, model

ONLINE = deployment({"alpha": model(engine={"quantization": "axion_w4"})}).models["alpha"]
CONFIG = {"architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True, "torch_dtype": "bfloat16"}


def test_weights_that_become_int4_while_they_load_are_not_quantized_before() -> None:
    assert mismatches("alpha", ONLINE, CONFIG, "/m") == []
    (sentence,) = mismatches("alpha", ONLINE, {**CONFIG, "quantization_config": {"quant_method": "awq"}}, "/m")
    assert sentence.startswith('models.alpha.engine.quantization: /m/config.json says "awq", got "axion_w4". Leave')
