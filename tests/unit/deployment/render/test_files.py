"""The rendered files of a whole host: golden text, and what must be true of every one of them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from agent.engine_unit import parse_environment
from deployment.models.load import load_deployment
from deployment.models.sizing import HostFacts, plan
from deployment.models.spec import Deployment
from deployment.quantities import GIB
from deployment.render.files import Place, render, render_template
from deployment.render.release import RenderedFile
from gateway.config_file import parse_config
from tests.support.deployments import deployment, model

REPOSITORY = Path(__file__).parents[4]
GOLDEN = REPOSITORY / "tests" / "golden"
C4A_STANDARD_32 = HostFacts(name="c4a-standard-32", cores=32, memory_bytes=125 * GIB)
LAPTOP = HostFacts(name="laptop", cores=2, memory_bytes=16 * GIB)
SHARED = {"core_policy": "shared", "reserved_cores": 0, "reserved_memory": "1GiB"}
Files = Mapping[str, str]


def rendered(served: Deployment, host: HostFacts, place: Place) -> Files:
    """Every file by its path; checkpoints lie in one directory."""
    names = [*served.models, *(f"{name}/{each}" for name, model in served.models.items() for each in model.lora)]
    checkpoints = {name: f"{place.root}/models/{name}" for name in names}
    files = render(served, plan(served, host, place.root), place, checkpoints)
    assert len({file.path for file in files}) == len(files)
    return {file.path: file.text for file in files}


def production(root: str = "/opt/axion") -> Files:
    place = Place(root=root, runner="systemd", allowed_clients=("10.20.0.0/24",))
    return rendered(load_deployment(REPOSITORY / "models.yaml"), C4A_STANDARD_32, place)


def demonstration() -> Files:
    served = load_deployment(REPOSITORY / "examples" / "demo" / "models.yaml")
    return rendered(served, LAPTOP, Place(root="/srv/axion", runner="supervisor"))


SETS = {"vm": production, "local": demonstration}


@pytest.mark.parametrize("name", SETS)
def test_the_rendered_files_are_the_golden_files(name: str) -> None:
    """UPDATE_GOLDEN=1 writes them anew; the difference is what a review should read."""
    files, directory = SETS[name](), GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        for path, text in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text)
    present = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert present == set(files)
    for path, text in files.items():
        assert text == (directory / path).read_text(), path


def test_a_host_gets_exactly_the_files_of_its_runner() -> None:
    engines = ["gemma3_multimodal", "mistral_balanced", "phi4_fast", "qwen_coder"]
    assert sorted(production()) == sorted(
        [
            "gateway.json",
            *(f"engines/{name}.{kind}" for name in engines for kind in ("yaml", "env")),
            *(f"systemd/vllm@{name}.service.d/50-resources.conf" for name in engines),
            *(f"systemd/vllm@{name}.service.d/20-order.conf" for name in engines),
            *(f"systemd/{unit}" for unit in ("axion.slice", "axion.target", "vllm@.service")),
            *(f"systemd/gateway{kind}" for kind in (".service", ".socket", "-handover.service", "-restart.service")),
            "etc/systemd/journald@axion.conf",
        ]
    )
    assert {path for path in demonstration() if "/" not in path} == {"Procfile", "gateway.json", "supervisord.conf"}
    assert not [path for path in demonstration() if path.startswith("systemd/")]


SPEAKS_TLS = {
    "listen": ["127.0.0.1:8080", "0.0.0.0:8443"],
    "tls": {"certificate": "/etc/tls/a.pem", "key": "/etc/tls/a.key"},
}


def test_here_the_gateway_reads_the_files_that_are_named() -> None:
    files = rendered(deployment(gateway=SPEAKS_TLS), LAPTOP, Place(root="/srv/axion", runner="supervisor"))
    assert json.loads(files["gateway.json"])["tls"] == {"certificate": "/etc/tls/a.pem", "key": "/etc/tls/a.key"}


def test_on_a_host_root_brings_the_gateway_its_copy_at_each_start_and_reload() -> None:
    files = rendered(deployment(gateway=SPEAKS_TLS), LAPTOP, Place(root="/opt/axion", runner="systemd"))
    copy = "/run/axion/gateway-tls.pem"
    assert json.loads(files["gateway.json"])["tls"] == {"certificate": copy, "key": copy}
    command = f"/usr/bin/python3 -s -P -B -m agent.certificate /etc/tls/a.pem /etc/tls/a.key {copy} axion"
    for unit in ("gateway", "gateway-handover"):
        lines = [line for line in files[f"systemd/{unit}.service"].splitlines() if line.startswith("Exec")]
        assert [line.partition("=")[2] for line in lines if "ExecStart=" not in line] == [
            f"-+{command}",
            f"+{command}",
            "/bin/kill -HUP $MAINPID",
        ]
    assert "-m agent.certificate" not in "".join(production().values())


@pytest.mark.parametrize("name", SETS)
def test_every_file_says_where_it_comes_from_and_ends_with_one_newline(name: str) -> None:
    for path, text in SETS[name]().items():
        assert path == "gateway.json" or text.startswith("# rendered from templates/"), path
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        assert "{{" not in text, path
        assert "None" not in text, path


@pytest.mark.parametrize("name", SETS)
def test_the_gateway_and_the_launcher_read_what_was_rendered(name: str) -> None:
    """With their own readers: a file that they refuse would be seen on the host only."""
    files = SETS[name]()
    config = parse_config(files["gateway.json"].encode(), where="gateway.json").config
    assert {f"engines/{served.name}.yaml" for served in config.models} == {
        path for path in files if path.endswith(".yaml")
    }
    for served in config.models:
        arguments = yaml.safe_load(files[f"engines/{served.name}.yaml"])
        assert arguments["uds"] == str(served.socket)
        assert arguments["served-model-name"] == [served.name]
        variables = parse_environment(files[f"engines/{served.name}.env"], Path("engine.env"))
        assert variables["HF_HUB_OFFLINE"] == variables["TRANSFORMERS_OFFLINE"] == "1"


def test_neighbours_on_the_same_cores_do_not_wait_by_spinning() -> None:
    shared = parse_environment(demonstration()["engines/tiny_qwen2.env"], Path("engine.env"))
    assert (shared["OMP_WAIT_POLICY"], shared["VLLM_CPU_OMP_THREADS_BIND"]) == ("PASSIVE", "nobind")
    assert "OMP_WAIT_POLICY" not in production()["engines/phi4_fast.env"]


def test_an_engine_that_compiles_its_model_is_told_the_compiler_where_torch_would_not_find_it() -> None:
    served = deployment({"alpha": model(), "beta": model(engine={"enforce_eager": True})})
    place = Place(root="/srv/axion", runner="supervisor", cxx="g++-14")
    files = rendered(served, LAPTOP, place)
    assert "\nCXX=g++-14\n" in files["engines/alpha.env"]
    assert "\nTORCH_COMPILE_DISABLE=1\n" in files["engines/beta.env"]  # eager: not even for what ranks logprobs
    assert ("CXX" in files["engines/beta.env"], "TORCH_COMPILE" in files["engines/alpha.env"]) == (False, False)
    assert "CXX" not in str(rendered(served, LAPTOP, Place(root="/srv/axion", runner="supervisor")))


def test_no_two_engines_share_a_directory_for_caches() -> None:
    files = production()
    states = [
        parse_environment(text, Path("engine.env"))["VLLM_CACHE_ROOT"]
        for path, text in files.items()
        if path.endswith(".env")
    ]
    assert len(set(states)) == 4


def test_only_what_a_model_says_reaches_its_engine() -> None:
    """Arguments at vLLM's default are left out; a false flag in a YAML file is dropped by vLLM without a word."""
    arguments = yaml.safe_load(production()["engines/qwen_coder.yaml"])
    assert set(arguments) == {
        "model", "served-model-name", "uds", "dtype", "max-model-len", "max-num-seqs", "max-num-batched-tokens",
        "kv-cache-memory-bytes", "generation-config", "shutdown-timeout", "disable-uvicorn-access-log",
        "enable-request-id-headers", "enable-server-load-tracking", "enable-auto-tool-choice", "tool-call-parser",
    }  # fmt: skip
    assert arguments["kv-cache-memory-bytes"] == 5 * GIB
    assert False not in arguments.values()


def engine_arguments(**engine: Any) -> dict[str, Any]:
    served = deployment({"alpha": model(engine=engine)})
    files = rendered(served, LAPTOP, Place(root="/srv/axion", runner="supervisor"))
    read: dict[str, Any] = yaml.safe_load(files["engines/alpha.yaml"])
    return read


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ({"enable_prefix_caching": False}, {"no-enable-prefix-caching": True}),
        ({"enforce_eager": True}, {"enforce-eager": True}),
        ({"trust_remote_code": True}, {"trust-remote-code": True}),
        ({"limit_mm_per_prompt": {"image": 0}}, {"limit-mm-per-prompt": {"image": 0}}),
        ({"max_num_queued_reqs": 7}, {"max-num-queued-reqs": 7}),
        ({"long_prefill_token_threshold": 512}, {"long-prefill-token-threshold": 512}),
    ],
)
def test_an_optional_argument_appears_when_it_is_set(engine: dict[str, Any], expected: dict[str, Any]) -> None:
    plain, changed = engine_arguments(), engine_arguments(**engine)
    assert {key: value for key, value in changed.items() if key not in plain} == expected
    assert {key: changed[key] for key in plain} == plain


def test_a_name_that_yaml_would_read_as_a_number_stays_a_name() -> None:
    """YAML reads 1e3, 007 and null as something else; models may be called so."""
    served = deployment({name: model() for name in ("1e3", "007", "null", "0x10")}, host=SHARED)
    files = rendered(served, LAPTOP, Place(root="/srv/axion", runner="supervisor"))
    for name in served.models:
        assert yaml.safe_load(files[f"engines/{name}.yaml"])["served-model-name"] == [name]


def test_quotes_and_lines_in_a_description_stay_in_the_gateways_file() -> None:
    nasty = 'says "hello"\nand: {% raw %} {{ root }} \u00fc'
    files = rendered(deployment({"alpha": model(description=nasty)}), LAPTOP, Place(root="/r", runner="supervisor"))
    assert json.loads(files["gateway.json"])["models"][0]["description"] == nasty
    assert [path for path, text in files.items() if "hello" in text] == ["gateway.json"]


def test_a_changed_model_changes_its_own_files_and_the_gateways_only() -> None:
    place = Place(root="/srv/axion", runner="supervisor")
    before = rendered(deployment(), LAPTOP, place)
    one = {"alpha": model(aliases=["first"]), "beta": model(engine={"max_num_seqs": 4, "shutdown_timeout": 500})}
    after = rendered(deployment(one), LAPTOP, place)
    changed = {path for path in after if after[path] != before[path]}
    assert changed == {"gateway.json", "engines/beta.yaml", "engines/beta.env"}  # the gateway sends as many at once


def test_rendering_depends_on_nothing_but_its_input() -> None:
    code = "from tests.unit.deployment.render.test_files import production as p; print(sorted(p().items()))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "LANG": "C", "TZ": "Asia/Tokyo", "PYTHONPATH": str(REPOSITORY)},
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
        for seed in ("1", "2")
    }
    assert texts == {f"{sorted(production().items())}\n"}


def test_a_value_that_a_template_names_and_nobody_gives_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="cpu_weight"):
        render_template("systemd/vllm@.conf.j2", {"cores": "1", "memory_high_bytes": 1, "memory_max_bytes": 2})


def test_files_of_one_release_are_values() -> None:
    one = RenderedFile(path="a", text="x")
    assert one == RenderedFile(path="a", text="x") != replace(one, text="y")
    # printf x | sha256sum
    assert one.digest == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
