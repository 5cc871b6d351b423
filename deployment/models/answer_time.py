"""How long the longest answer of a model may honestly take, as a time limit for the gateway.

A limit only has to end what hangs. So it is computed for a slow machine: an answer that is cut off after ten minutes of
work costs more than a connection that is held too long.
"""

import math

from deployment.models.spec import Served

SLOW_CORE_BYTES_PER_S = 1.5e9
"""What a core reads of the weights when much goes wrong: a 25th of a Neoverse V2 core alone (bench/expected.py), for a
full batch, neighbours on the same memory, long contexts and other processors."""
LONGEST_S = 7200
"""Whatever the model: nobody waits longer for an answer that does not come in pieces."""


def response_s(model: Served, general_s: float) -> float:
    """Return the seconds for a model's longest answer: its own setting, else computed, never below the general one."""
    if model.response_s is not None:
        return model.response_s
    tensors, engine = model.checkpoint.tensors, model.engine
    read = tensors.loaded_bytes(2, is_online_int4=engine.quantization is not None)
    slowest_s = _most_tokens(model) * read / (model.cores * SLOW_CORE_BYTES_PER_S)
    return max(general_s, min(LONGEST_S, math.ceil(slowest_s)))


def _most_tokens(model: Served) -> int:
    """A prompt's tokens take less than an answer's, so the whole context as an answer is the longest there is."""
    return min(model.engine.max_model_len, model.max_output_tokens or model.engine.max_model_len)
