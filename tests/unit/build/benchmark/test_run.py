"""How a benchmark is begun, stopped and taken up again; and what it asks of a model's tensors."""

from pathlib import Path

import pytest

from agent.bench_messages import QualityResult
from build.benchmark.document import Checkout
from build.benchmark.quality import is_right, judged, material
from build.benchmark.roofline import read_bandwidth, token_bytes
from build.benchmark.run import Choice, Wish, chosen, kept, left_words, seeing_of
from build.cli.bench import bench_compare
from build.errors import DeployError
from deployment.models.load import load_deployment

WISH = Wish(
    models=(), profiles=("chat",), concurrency=(1,), is_quick=True, goes_on_when_used=False, cell_timeout_s=9
)  # fmt: skip


def test_a_directory_belongs_to_one_choice(tmp_path: Path) -> None:
    first = chosen(tmp_path, WISH, ("a",), "r1")
    assert chosen(tmp_path, WISH, ("a",), "r1") == first
    with pytest.raises(DeployError, match="holds a benchmark of another choice, got other release, models"):
        chosen(tmp_path, WISH, ("b",), "r2")


def test_a_finished_part_is_not_made_again_and_a_torn_one_is(tmp_path: Path) -> None:
    made = Choice(
        began_at="now",
        checkout=Checkout(commit="c", is_changed=True),
        release="r",
        models=("a",),
        profiles=("chat",),
        concurrency=(1,),
        is_quick=False,
    )
    file, calls = tmp_path / "cells" / "part.json", []

    def make() -> Choice:
        calls.append(1)
        return made

    assert kept(file, Choice, make) == kept(file, Choice, make) == made
    assert len(calls) == 1
    file.write_text(file.read_text()[:20])
    assert kept(file, Choice, make) == made
    assert len(calls) == 2


def test_two_reports_that_cannot_be_read_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(DeployError) as caught:
        bench_compare(str(tmp_path / "a"), str(tmp_path / "b"), json=False)
    assert caught.value.problems == tuple(
        f"{tmp_path}/{name}: cannot be read: No such file or directory. Name a report.json of `fab bench`."
        for name in "ab"
    )


def test_the_time_left_is_as_long_as_it_took_so_far() -> None:
    assert left_words([], 4) == ""
    assert left_words([10, 20], 4) == ", about 60 s left"
    assert left_words([100], 9) == ", about 15 min left"


def test_pictures_are_refused_where_no_model_takes_any() -> None:
    deployment = load_deployment(Path("models.yaml"))
    assert seeing_of(deployment, list(deployment.models), ["pictures"]) == ("gemma3_multimodal",)
    assert seeing_of(deployment, ["phi4_fast"], ["chat"]) == ()
    with pytest.raises(DeployError) as caught:
        seeing_of(deployment, ["phi4_fast", "qwen_coder"], ["chat", "pictures"])
    assert caught.value.problems == (
        "--profile: none of these models takes pictures, got pictures for phi4_fast, qwen_coder. Name one that does, "
        "or leave that profile out.",
    )


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        ("Paris.", "paris", True),
        ("\n 42", "42", True),
        ("It is 142", "42", False),
        ("", "5", False),
        ("no\nice", "ice", False),
    ],
)
def test_an_answer_is_right_if_its_first_line_has_the_word(said: str, answer: str, *, right: bool) -> None:
    assert is_right(said, answer) is right


def test_likelihoods_become_bits_per_byte() -> None:
    texts, questions = material()
    assert len(questions) == 30
    result = QualityResult(
        tuple((-0.6931471805599453,) * 2 * len(text.encode()) for text in texts), ("x",) * 30, ()
    )  # fmt: skip
    found = judged("a", result)
    assert found.bits_per_byte == pytest.approx(2)
    assert found.perplexity == pytest.approx(2)
    assert found.right == 0


def test_a_token_reads_weights_head_and_the_cache_of_its_context() -> None:
    """SmolLM2-135M in float32: 30 layers of 576 x (576 + 2 x 192 + 576) and 3 x 576 x 1536; a head of 576 x 49152."""
    model = load_deployment(Path("examples/demo/models.yaml")).models["smollm2"]
    needs = token_bytes(model, 1000)
    assert needs.weights == 4 * 30 * (576 * (576 + 192 + 192 + 576) + 3 * 576 * 1536)
    assert needs.head == 4 * 576 * 49152
    assert needs.kv_cache == 4 * 30 * 2 * 3 * 64 * 1000


def test_a_windowed_layer_reads_no_more_than_its_window() -> None:
    model = load_deployment(Path("models.yaml")).models["gemma3_multimodal"]
    near, far = (token_bytes(model, tokens).kv_cache for tokens in (1024, 2048))
    assert far - near == 2 * 10 * 16 * 128 * 2 * 1024  # ten of 62 layers look back over everything


def test_a_model_is_held_against_the_bandwidth_of_its_threads() -> None:
    measured = {"1": {"read": 10.0}, "2": {"read": 16.0}, "4": {"read": 15.0}, "8": {"read": 40.0}}
    assert [read_bandwidth(measured, threads) for threads in (0, 1, 3, 4, 16)] == [10, 10, 16, 16, 40]
