"""models.yaml is a person's file: a task that writes into it leaves everything else as it was."""

import pytest
import yaml

from deployment.errors import ConfigError
from deployment.models.stanza import add_stanza, remove_stanza, set_revision, set_values

FILE = """\
# What we serve.
default_model: one

models:
  # The first, for short answers.
  one: &small
    description: One   # and only
    weights: {hub: a/one, revision: 0000000000000000000000000000000000000000}
    engine:
      max_model_len: 1024 # enough

  # The second.
  two:
    description: >
      Two
      lines
    weights:
      hub: a/two
      revision: "1111111111111111111111111111111111111111"  # of May
    aliases: [zwei]

# At the end.
gateway:
  listen: [127.0.0.1:8080]
"""
STANZA = {
    "description": "Phi-4-mini: it's small",
    "weights": {"hub": "a/three", "revision": "2" * 40},
    "cores": 3,
    "engine": {"max_model_len": 4096, "kv_cache_memory_bytes": "3GiB"},
}


def test_a_model_is_added_after_the_last_and_nothing_else_changes() -> None:
    added = add_stanza(FILE, "three", STANZA)
    before, after = added.split("  three:\n")
    assert before == FILE.partition("\n# At the end.")[0] + "\n"
    assert after == (
        "    description: 'Phi-4-mini: it''s small'\n"
        "    weights: {hub: a/three, revision: '" + "2" * 40 + "'}\n"
        "    cores: 3\n"
        "    engine: {max_model_len: 4096, kv_cache_memory_bytes: 3GiB}\n"
        "\n# At the end.\ngateway:\n  listen: [127.0.0.1:8080]\n"
    )
    assert yaml.safe_load(added)["models"]["three"] == STANZA


def test_what_was_added_is_removed_again_to_the_byte() -> None:
    assert remove_stanza(add_stanza(FILE, "three", STANZA), "three") == FILE


def test_a_model_goes_with_its_own_comment_and_leaves_its_neighbours() -> None:
    removed = remove_stanza(FILE, "two")
    assert "The second" not in removed
    assert removed == FILE[: FILE.index("\n  # The second.")] + FILE[FILE.index("\n# At the end.") :]
    assert list(yaml.safe_load(removed)["models"]) == ["one"]


def test_the_first_model_goes_and_the_second_keeps_its_comment() -> None:
    removed = remove_stanza(FILE, "one")
    assert "models:\n\n  # The second.\n  two:" in removed.replace("models:\n  # The", "models:\n\n  # The")
    assert list(yaml.safe_load(removed)["models"]) == ["two"]


def test_a_model_that_others_repeat_by_an_anchor_stays() -> None:
    with pytest.raises(ConfigError, match="the file repeats lines by anchors"):
        remove_stanza(FILE.replace("  two:\n", "  two:\n    <<: *small\n"), "one")


def test_a_commit_that_looks_like_a_number_is_written_as_text() -> None:
    for commit in ("2" * 40, "1" * 37 + "e12"):
        weights = yaml.safe_load(set_revision(FILE, "one", commit))["models"]["one"]["weights"]
        assert weights["revision"] == commit


@pytest.mark.parametrize(("name", "old"), [("one", "0" * 40), ("two", f'"{"1" * 40}"')])
def test_a_revision_changes_where_it_stands(name: str, old: str) -> None:
    assert set_revision(FILE, name, "f" * 40) == FILE.replace(old, "f" * 40)


def test_a_file_without_a_newline_at_its_end_gets_one() -> None:
    text = "models:\n  one:\n    cores: 1"
    assert add_stanza(text, "two", {"cores": 2}) == "models:\n  one:\n    cores: 1\n  two:\n    cores: 2\n"


@pytest.mark.parametrize("text", ["models: {one: {cores: 1}}\n", "models: {}\n", "default_model: x\n", "", "[]"])
def test_a_file_without_models_on_lines_of_their_own_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="models: no mapping with a model on lines of its own"):
        add_stanza(text, "two", {"cores": 2})


def test_a_model_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"models.tow: no such model, got tow. Use one, two."):
        remove_stanza(FILE, "tow")


@pytest.mark.parametrize(
    "last",
    [
        "  two: {engine: *e}\n",
        "  two:\n    engine: *e\n",
        "  two:\n    cores: 2\n    engine:\n      <<: *e\n",
        "  two:\n    description: |+\n      text\n\n\n",
        "  ? two\n  : cores: 2\n",
    ],
)
def test_a_stanza_stands_after_the_last_model_or_nowhere(last: str) -> None:
    text = f"default_model: one\nmodels:\n  one:\n    engine: &e {{max_model_len: 8}}\n    cores: 1\n{last}more: 1\n"
    before = yaml.safe_load(text)
    try:
        added = yaml.safe_load(add_stanza(text, "three", STANZA))
    except ConfigError as error:
        assert "no place to write at" in str(error)
    else:
        assert added == {**before, "models": {**before["models"], "three": STANZA}}


def test_a_file_of_another_system_keeps_its_line_ends() -> None:
    text = FILE.replace("\n", "\r\n")
    added = add_stanza(text, "three", STANZA)
    assert added.count("\n") == added.count("\r\n")
    assert remove_stanza(added, "three") == text


TUNED = """\
models:
  one:
    cores: 3 # of eight
    # what it may use
    engine:
      max_num_seqs: 4
      kv_cache_memory_bytes: 1GiB # enough

  two:
    cores: 2
    engine: {max_num_seqs: 8, kv_cache_memory_bytes: 5GiB} # small
"""


def test_values_are_written_in_place_or_behind_the_last_key_and_comments_stay() -> None:
    values = {"cores": 5, "engine.max_num_seqs": 16, "engine.max_num_batched_tokens": 128}
    one = set_values(TUNED, "one", values)
    assert one == TUNED.replace("cores: 3", "cores: 5").replace("max_num_seqs: 4", "max_num_seqs: 16").replace(
        "1GiB # enough\n", "1GiB # enough\n      max_num_batched_tokens: 128\n"
    )
    guesses = {"engine.speculative_config": {"method": "ngram", "num_speculative_tokens": 3}}
    two = set_values(TUNED, "two", {**values, **guesses})
    assert two.splitlines()[-2:] == [
        "    cores: 5",
        "    engine: {max_num_seqs: 16, kv_cache_memory_bytes: 5GiB, max_num_batched_tokens: 128, "
        "speculative_config: {method: ngram, num_speculative_tokens: 3}} # small",
    ]
    assert set_values(two, "two", guesses) == two


def test_a_file_without_an_end_of_line_gets_one_before_what_is_written() -> None:
    text = TUNED.partition("\n\n")[0]
    assert set_values(text, "one", {"engine.max_num_batched_tokens": 128}).endswith(
        "1GiB # enough\n      max_num_batched_tokens: 128\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TUNED.replace("engine: {max_num_seqs: 8, kv_cache_memory_bytes: 5GiB}", "engine: {}"), "no mapping to write"),
        (TUNED.replace("cores: 2", "cores:\n      - 2"), "cores is written over several lines"),
        (TUNED.replace("cores: 3", "cores: &c 3").replace("cores: 2", "cores: *c"), "repeats lines by anchors"),
    ],
)
def test_a_form_that_cannot_be_written_into_is_left_alone(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        set_values(text, "two", {"cores": 4, "engine.max_num_seqs": 4})
