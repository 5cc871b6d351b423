"""What a checkpoint does not tell vLLM by itself: read by `fab models-add`, rendered, and seen by vLLM's own parser."""

import json
from pathlib import Path

import pytest

from deployment.checkpoint.reading import read_checkpoint
from deployment.render.files import Place
from tests.integration.engine.test_arguments import ask_parser
from tests.support.deployments import deployment, model
from tests.support.hollow import TINY, checkpoint, tensors_of
from tests.support.published import AWQ
from tests.unit.deployment.render.test_files import LAPTOP, rendered

pytestmark = pytest.mark.engine

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}
PACKED = {**AWQ, "group_size": 32}
# An older export: config.json says nothing of its quantization.
BESIDE = {"config.json": json.dumps(TINY), "quant_config.json": json.dumps(PACKED)}


def test_a_longer_context_and_a_quantization_beside_config_json_reach_vllm(engine_python: str, tmp_path: Path) -> None:
    facts = {
        "stretched": checkpoint(rope_scaling=YARN),
        "beside": read_checkpoint(BESIDE, tensors_of({**TINY, "quantization_config": PACKED})),
    }
    long = model(engine={"max_model_len": 8192})
    served = deployment({"stretched": long, "beside": model()}, facts)
    files = rendered(served, LAPTOP, Place(root="/srv/axion", runner="supervisor"))
    paths = {name: tmp_path / f"{name}.yaml" for name in facts}
    for name, path in paths.items():
        path.write_text(files[f"engines/{name}.yaml"])
    parsed = ask_parser(engine_python, [str(path) for path in paths.values()])
    stretched, beside = (parsed[str(path)] for path in paths.values())
    assert (stretched["hf_overrides"], stretched["max_model_len"]) == ({"max_position_embeddings": 8192}, 8192)
    assert (beside["hf_overrides"], beside["quantization"]) == ({}, "awq")
