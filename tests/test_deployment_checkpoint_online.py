"""Online quantization held against what a checkpoint says of itself."""

from deployment.checkpoint import mismatches
from tests.test_deployment_checkpoint import AWQ, served


def test_weights_that_become_int4_while_they_load_are_not_quantized_before() -> None:
    config = {"architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True, "torch_dtype": "bfloat16"}
    online = served(quantization="axion_w4")
    assert mismatches("alpha", online, config, "/m") == []
    (sentence,) = mismatches("alpha", online, {**config, "quantization_config": AWQ}, "/m")
    assert sentence.startswith('models.alpha.engine.quantization: /m/config.json says "awq", got "axion_w4". Leave')
