"""A model without one of its optimisations is the same file with a few keys changed, and still a file that loads."""

from pathlib import Path

import pytest
import yaml

from deployment.checkpoint.lock import lock_path, read_lock
from deployment.models.ablation import ABLATIONS, EVERYTHING, ablations, together, without
from deployment.models.load import load_deployment, parse_deployment
from deployment.models.spec import Deployment

FILE = Path("models.yaml")
OPTIMISATIONS = ["kernels", "int4", "int8_head", "prefix_caching", "step_tokens", "compile", "own_cores"]


def changed(name: str, ablation: str) -> Deployment:
    found = ablations(load_deployment(FILE), name)
    found[EVERYTHING] = together(list(found.values()))
    text = without(FILE.read_text(), name, found[ablation])
    return parse_deployment(text, FILE.name, read_lock(lock_path(FILE)), FILE.parent)


def test_a_model_is_offered_what_it_has() -> None:
    deployment = load_deployment(FILE)
    assert list(ablations(deployment, "phi4_fast")) == OPTIMISATIONS
    assert list(ablations(deployment, "qwen_coder")) == [name for name in OPTIMISATIONS if name != "int4"]


@pytest.mark.parametrize("ablation", [*OPTIMISATIONS, EVERYTHING])
def test_what_is_taken_away_is_gone_and_all_else_is_there(ablation: str) -> None:
    before, after = load_deployment(FILE), changed("phi4_fast", ablation)
    old, new = before.models["phi4_fast"], after.models["phi4_fast"]
    expected = {
        "kernels": (new.kernels.sampler, new.kernels.silu_and_mul) == (False, False),
        "int4": new.engine.quantization is None,
        "int8_head": new.kernels.lm_head is False,
        "prefix_caching": new.engine.enable_prefix_caching is False,
        "step_tokens": new.engine.max_num_batched_tokens == 2048,
        "compile": new.engine.enforce_eager is True,
        "own_cores": after.host.core_policy == "shared",
    }
    gone = [name for name, is_gone in expected.items() if is_gone]
    assert gone == (list(expected) if ablation == EVERYTHING else [ablation])
    assert {name: model for name, model in after.models.items() if name != "phi4_fast"} == {
        name: model for name, model in before.models.items() if name != "phi4_fast"
    }
    assert (new.cores, new.weights, new.engine.max_model_len) == (old.cores, old.weights, old.engine.max_model_len)


def test_speculation_and_lent_cores_are_offered_where_they_are_on(tmp_path: Path) -> None:
    document = yaml.safe_load(FILE.read_text())
    document["host"]["core_policy"] = "elastic"
    speculation = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4}
    document["models"]["qwen_coder"]["engine"]["speculative_config"] = speculation
    lock = read_lock(lock_path(FILE))
    text = yaml.safe_dump(document, sort_keys=False)
    found = ablations(parse_deployment(text, FILE.name, lock, tmp_path), "qwen_coder")
    assert {"speculation", "lent_cores"} < set(found)
    plain = parse_deployment(without(text, "qwen_coder", together(list(found.values()))), FILE.name, lock, tmp_path)
    assert plain.models["qwen_coder"].engine.speculative_config is None
    assert plain.host.core_policy == "shared"


def test_each_has_a_name_of_its_own() -> None:
    names = [each.name for each in ABLATIONS]
    assert len(set(names)) == len(names) == 9
