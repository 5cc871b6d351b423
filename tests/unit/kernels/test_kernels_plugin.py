"""The plug-in's decisions that need neither torch nor vLLM: switches, the guard, the report."""

import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from axion_kernels import plugin, report
from axion_kernels.switches import Switches
from prometheus_client import CollectorRegistry, generate_latest

from agent.running import KernelsReport, PackedWeights

BY_DEFAULT = {
    *("linear_w4", "axion_w4", "sampler", "penalties", "speculation"),
    *("rms_norm", "gemma_rms_norm", "silu_and_mul", "gelu_and_mul"),
}


@pytest.mark.parametrize("text", [None, "", "  "])
def test_without_a_choice_what_helps_is_on(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AXION_KERNELS", raising=False)
    if text is not None:
        monkeypatch.setenv("AXION_KERNELS", text)
    assert Switches.from_environment() == Switches(enabled=frozenset(BY_DEFAULT))


@pytest.mark.parametrize(
    ("text", "enabled"),
    [
        ("all", BY_DEFAULT | {"lm_head", "rotary_embedding"}),
        ("none", set()),
        ("sampler", {"sampler"}),
        (" linear_w4 , lm_head,", {"linear_w4", "lm_head"}),
    ],
)
def test_a_choice_is_taken_literally(text: str, enabled: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXION_KERNELS", text)
    assert Switches.from_environment() == Switches(enabled=frozenset(enabled), named=frozenset(enabled))


@pytest.mark.parametrize(
    ("text", "enabled", "named"),
    [
        ("+lm_head", BY_DEFAULT | {"lm_head"}, {"lm_head"}),
        ("-sampler", BY_DEFAULT - {"sampler"}, set()),
        (" +rotary_embedding, -rms_norm ,", BY_DEFAULT - {"rms_norm"} | {"rotary_embedding"}, {"rotary_embedding"}),
        ("+silu_and_mul", BY_DEFAULT, {"silu_and_mul"}),
    ],
)
def test_signs_change_the_default_and_name_only_what_they_add(
    text: str, enabled: set[str], named: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AXION_KERNELS", text)
    assert Switches.from_environment() == Switches(enabled=frozenset(enabled), named=frozenset(named))


@pytest.mark.parametrize("text", ["+lm_head,sampler", "+lm_head,-lm_head"])
def test_a_list_and_changes_do_not_mix(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXION_KERNELS", text)
    with pytest.raises(ValueError, match=r"^AXION_KERNELS: neither a list nor changes"):
        Switches.from_environment()


def test_without_vector_instructions_activations_are_left_to_torch() -> None:
    default = Switches(enabled=frozenset(BY_DEFAULT))
    assert default.on("neon") == default
    assert default.on("portable").enabled == BY_DEFAULT - {"silu_and_mul", "gelu_and_mul"}
    chosen = Switches(enabled=frozenset({"silu_and_mul"}), named=frozenset({"silu_and_mul"}))
    assert chosen.on("portable") == chosen
    one_of_two = Switches(enabled=frozenset(BY_DEFAULT), named=frozenset({"silu_and_mul"}))
    assert one_of_two.on("portable").enabled == BY_DEFAULT - {"gelu_and_mul"}


def test_compiled_the_activations_act_by_default_and_the_others_where_they_are_named() -> None:
    default = Switches(enabled=frozenset(BY_DEFAULT))
    assert default.compiled == {"silu_and_mul", "gelu_and_mul"}
    assert default.on("portable").compiled == set()
    named = Switches(enabled=frozenset({"rms_norm", "sampler"}), named=frozenset({"rms_norm", "sampler"}))
    assert named.compiled == {"rms_norm", "sampler"}


def test_an_unknown_kernel_is_refused_with_the_names_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXION_KERNELS", "sampler,linear_w5")
    with pytest.raises(ValueError, match=r"^AXION_KERNELS: no such kernel, got linear_w5\. Use all, none, .*linear_w4"):
        Switches.from_environment()


def pretend_vllm(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    module = ModuleType("vllm.version")
    numbers = tuple(int(part) for part in version.split("."))
    module.__dict__.update(__version__=version, __version_tuple__=numbers)
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.setitem(sys.modules, "vllm.version", module)


@pytest.mark.parametrize("version", ["0.31.2", "0.33.0", "1.32.0"])
def test_another_vllm_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_vllm(monkeypatch, version)
    with pytest.raises(RuntimeError) as refusal:
        plugin.check_vllm()
    assert str(refusal.value) == (
        f"axion_kernels: vllm: version 0.32.* is needed, got {version}. "
        "Install vllm 0.32.*, or set AXION_KERNELS=none to serve without these kernels."
    )


def test_a_patch_release_of_the_same_vllm_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_vllm(monkeypatch, "0.32.4")
    plugin.check_vllm()


def test_switched_off_the_plugin_does_not_even_look_at_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_vllm(monkeypatch, "9.9.9")
    monkeypatch.setenv("AXION_KERNELS", "none")
    plugin.register.__wrapped__()


@pytest.fixture
def fresh_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A report that no process has begun, in a process with a metrics registry of its own."""
    path = tmp_path / "report.json"
    monkeypatch.setenv("AXION_KERNELS_REPORT", str(path))
    # Set first: what `begin` puts there is then undone too, and no test after this one inherits it.
    monkeypatch.setenv("AXION_KERNELS_REPORT_OWNER", "")
    monkeypatch.delenv("AXION_KERNELS_REPORT_OWNER")
    monkeypatch.setattr(report, "_report", report.Report())
    monkeypatch.setattr(report, "REGISTRY", CollectorRegistry())
    return path


def test_the_report_tells_what_is_on_and_counts_layers(fresh_report: Path) -> None:
    assert report.begin({"sampler", "linear_w4"}, isa="neon")
    for _ in range(3):
        report.count_layer("linear_w4")
    assert json.loads(fresh_report.read_text()) == {
        "isa": "neon",
        "enabled": ["linear_w4", "sampler"],
        "layers": {"linear_w4": 3},
    }
    assert [path.name for path in fresh_report.parent.iterdir()] == ["report.json"]


def test_the_agent_and_the_gateway_read_what_the_report_tells(fresh_report: Path) -> None:
    report.begin({"linear_w4"}, isa="sve2")
    report.count_layer("linear_w4")
    report.tell(report.Packed("mapped", bytes=9, file="model0-0.packed", locked=False))
    mapped = PackedWeights("mapped", bytes=9, file="model0-0.packed", locked=False)
    assert KernelsReport.of_file(fresh_report) == KernelsReport("sve2", {"linear_w4": 1}, ("linear_w4",), mapped)
    assert report.read() == report.Report(
        isa="sve2", enabled=["linear_w4"], layers={"linear_w4": 1}, packed=report.Packed(**vars(mapped))
    )


def test_a_jober_replaces_the_report_only_once_it_holds_layers(fresh_report: Path) -> None:
    os.environ["AXION_KERNELS_REPORT_OWNER"] = "1"
    assert not report.begin({"linear_w4"}, isa="neon")
    assert not fresh_report.exists()
    report.count_layer("linear_w4")
    assert json.loads(fresh_report.read_text())["layers"] == {"linear_w4": 1}


def test_the_front_end_serves_what_the_worker_wrote(fresh_report: Path) -> None:
    report.begin({"linear_w4"}, isa="neon")
    fresh_report.write_text('{"isa": "sve2", "enabled": ["linear_w4"], "layers": {"linear_w4": 112}}')
    registry = CollectorRegistry()
    registry.register(report.ReportCollector())
    lines = generate_latest(registry).decode().splitlines()
    assert 'axion_kernels_enabled{isa="sve2",kernel="linear_w4"} 1.0' in lines
    assert 'axion_kernels_layers{kernel="linear_w4"} 112.0' in lines


def test_without_a_path_the_report_gets_one_and_children_learn_it(
    fresh_report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AXION_KERNELS_REPORT")
    report.begin({"sampler"}, isa="portable")
    path = Path(os.environ["AXION_KERNELS_REPORT"])
    assert json.loads(path.read_text())["isa"] == "portable"
    assert os.environ["AXION_KERNELS_REPORT_OWNER"] == str(os.getpid())
    path.unlink()
