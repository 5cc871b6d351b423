"""Which loads there are, and how the generator is called."""

from build.benchmark.cells import PROFILES, Profile, Subject, generators, plan_cells
from build.cli.arguments import kinds_of
from build.cli.bench_tasks import bench


def test_every_model_is_measured_alone_and_then_all_together() -> None:
    cells = plan_cells(["a", "b"], ["chat", "long"], [1, 8], is_quick=False)
    assert [cell.key for cell in cells] == [
        *("a-chat-c1", "a-chat-c8", "a-long-c1", "a-long-c8"),
        *("b-chat-c1", "b-chat-c8", "b-long-c1", "b-long-c8"),
        *("together-chat-c1", "together-chat-c8", "together-long-c1", "together-long-c8"),
    ]
    assert [cell.requests for cell in cells[:2]] == [12, 32]
    assert [cell.key for cell in plan_cells(["a"], ["chat"], [1], is_quick=True)] == ["a-chat-c1"]


def test_the_option_takes_every_profile() -> None:
    assert kinds_of(bench.body.__wrapped__)["profile"].read(",".join(PROFILES)) == tuple(PROFILES)


def test_lengths_shrink_in_proportion_where_the_context_is_too_short() -> None:
    profile = Profile(prefix_tokens=768, prompt_tokens=256, output_tokens=256)
    assert profile.within(1296) == profile
    assert profile.within(656) == Profile(prefix_tokens=384, prompt_tokens=128, output_tokens=128)


def test_the_generator_is_called_with_all_that_decides_a_load() -> None:
    (cell,) = plan_cells(["a"], ["code"], [2], is_quick=False)
    subject = Subject(name="a", tokenizer="/models/a", context_tokens=4096)
    (generator,) = generators(cell, {"a": subject}, 77, is_quick=False)
    assert " ".join(generator.arguments) == (
        "bench serve --backend openai --endpoint /v1/completions --model a --tokenizer /models/a --dataset-name random "
        "--random-prefix-len 768 --random-input-len 256 --random-output-len 256 --random-range-ratio 0 "
        "--num-prompts 12 --max-concurrency 2 --seed 77 --temperature 0 --ignore-eos --disable-tqdm --save-result "
        "--save-detailed"
    )


def test_pictures_go_to_the_models_that_take_them() -> None:
    def keys(seeing: tuple[str, ...]) -> list[str]:
        return [cell.key for cell in plan_cells(["a", "b", "c"], ["pictures"], [1], seeing=seeing, is_quick=True)]

    assert keys(()) == []
    assert keys(("b",)) == ["b-pictures-c1"]
    assert keys(("b", "c")) == ["b-pictures-c1", "c-pictures-c1", "together-pictures-c1"]
    *_, together = plan_cells(["a", "b", "c"], ["pictures"], [1], seeing=("b", "c"), is_quick=True)
    assert together.models == ("b", "c")


def test_pictures_are_random_ones_in_chats() -> None:
    (cell,) = plan_cells(["a"], ["pictures"], [2], seeing=["a"], is_quick=False)
    subject = Subject(name="a", tokenizer="/models/a", context_tokens=4096)
    (generator,) = generators(cell, {"a": subject}, 77, is_quick=False)
    assert generator.arguments[2:19] == (
        *("--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--model", "a", "--tokenizer", "/models/a"),
        *("--dataset-name", "random-mm", "--random-mm-base-items-per-request", "1"),
        *("--random-mm-limit-mm-per-prompt", '{"image": 1}', "--random-mm-bucket-config", "{(896, 896, 1): 1.0}"),
        "--random-prefix-len",
    )


def test_a_picture_has_its_own_room_in_a_short_context() -> None:
    assert PROFILES["pictures"].within(1024 + 16 + 96) == Profile(
        prefix_tokens=0, prompt_tokens=32, output_tokens=64, pictures=1
    )


def test_a_quick_run_shortens_texts_and_not_pictures() -> None:
    (cell,) = plan_cells(["a"], ["pictures"], [1], seeing=["a"], is_quick=True)
    subject = Subject(name="a", tokenizer="/models/a", context_tokens=4096)
    (generator,) = generators(cell, {"a": subject}, 77, is_quick=True)
    said = dict(zip(generator.arguments[2::2], generator.arguments[3::2], strict=False))
    assert (said["--random-input-len"], said["--random-output-len"]) == ("48", "96")


def test_a_long_context_is_as_long_with_a_shared_prefix_as_without() -> None:
    with_, without = PROFILES["long-shared"], PROFILES["long"]
    assert with_.prefix_tokens + with_.prompt_tokens == without.prompt_tokens
