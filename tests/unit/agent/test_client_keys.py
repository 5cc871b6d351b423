"""The list of clients' keys: what a line may say, and that nothing repeats a key."""

import hashlib
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.client_keys import ClientKey, digests, key_list

ALICE, BOB = "sk-alice-0123456789abcdef", "sk-bob-0123456789abcdef"


def sha256(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def test_a_line_says_who_and_what() -> None:
    text = f"{ALICE} name=alice models=phi4_fast,qwen_coder requests_per_minute=60 tokens_per_day=100000\n"
    assert key_list(text).keys == (
        ClientKey(
            digest=sha256(ALICE),
            name="alice",
            models=("phi4_fast", "qwen_coder"),
            requests_per_minute=60,
            tokens_per_day=100_000,
        ),
    )


def test_a_bare_key_may_do_everything_and_is_called_by_its_digest() -> None:
    # printf %s abc | sha256sum
    (key,) = key_list("abc\n").keys
    assert key == ClientKey(digest=bytes.fromhex(ABC), name="ba7816bf")


ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_digest_stands_for_its_key_and_lines_that_say_nothing_are_passed_over() -> None:
    text = f"# alice left: {ALICE}\n\n   \nsha256:{ABC.upper()} name=abc\n  {BOB}  name=bob\n"
    assert [(key.digest, key.name) for key in key_list(text).keys] == [
        (bytes.fromhex(ABC), "abc"),
        (sha256(BOB), "bob"),
    ]


def test_the_digests_form_says_the_same_line_by_line_without_a_key_or_a_comment() -> None:
    text = f"# alice left: {ALICE}\n{BOB} name=bob  models=a\n\nsha256:{ABC}\nabcd"
    assert digests(text) == (
        f"\nsha256:{sha256(BOB).hex()} name=bob models=a\n\nsha256:{ABC}\nsha256:{sha256('abcd').hex()}\n"
    )
    assert key_list(digests(text)).keys == key_list(text).keys
    assert digests(digests(text)) == digests(text)


WRONG = {
    f"{ALICE} alice": "line 1: word 2 is no setting. Use name=, models=, requests_per_minute=, tokens_per_day=.",
    f"{ALICE} name=a user=b": "line 1: word 3 is no setting. Use name=, models=, requests_per_minute=, "
    "tokens_per_day=.",
    "name=alice models=a": "line 1: the key is missing. Put it first, and its settings behind it.",
    f"{ALICE} name=a name=b": "line 1: name is there twice. Give it once.",
    f"{ALICE} name=": "line 1: no usable name. Give up to 64 letters, digits, dots, dashes or underscores.",
    f"{ALICE} name=\u00e9": "line 1: no usable name. Give up to 64 letters, digits, dots, dashes or underscores.",
    f"{ALICE} models=a,": "line 1: models: no list of names. Separate models by commas without spaces, or leave it out "
    "for all.",
    f"{ALICE} requests_per_minute=0": "line 1: requests_per_minute: no whole number from 1 on. Give one, or leave it "
    "out for no limit.",
    f"{ALICE} tokens_per_day=1e6": "line 1: tokens_per_day: no whole number from 1 on. Give one, or leave it out for "
    "no limit.",
    f"{ALICE} tokens_per_day=-1": "line 1: tokens_per_day: no whole number from 1 on. Give one, or leave it out for "
    "no limit.",
    f"{ALICE} tokens_per_day=\u0663": "line 1: tokens_per_day: no whole number from 1 on. Give one, or leave it out "
    "for no limit.",
    "sha256:abc": "line 1: no digest follows sha256:. Give 64 hexadecimal digits, as sha256sum prints them.",
    f"{ALICE}\n{ALICE} name=a": "line 2: the key of line 1 again. Delete one of the two.",
    f"{ALICE} name=a\n{BOB} name=a tokens_per_day=5": "line 2: the name of line 1 with other rights. Give both the "
    "same, or another name.",
}


@pytest.mark.parametrize(("text", "problem"), WRONG.items())
def test_what_is_wrong_with_a_line_is_told_by_its_number(text: str, problem: str) -> None:
    assert key_list(text).problems == (problem,)


def test_all_problems_are_told_at_once() -> None:
    found = key_list("\n\n".join(text for text in WRONG if "\n" not in text))
    assert len(found.problems) == 12


def test_two_keys_of_one_caller_share_a_name_while_one_replaces_the_other() -> None:
    found = key_list(f"{ALICE} name=a tokens_per_day=5\n{BOB} name=a tokens_per_day=5\n")
    assert (found.problems, [key.name for key in found.keys]) == ((), ["a", "a"])


def test_a_short_key_is_told_of_and_taken() -> None:
    found = key_list(f"{'x' * 15}\n{'y' * 16}\n")
    assert (len(found.keys), found.problems) == (2, ())
    assert found.warnings == ("line 1: the key has less than 16 characters. Give its owner a longer one.",)


@given(st.text(max_size=80))
def test_whatever_a_list_says_no_word_of_it_is_repeated(noise: str) -> None:
    """A planted key in the midst of anything: in no message, and in no digests form."""
    planted = "planted" + secrets.token_hex(8)
    for text in (f"{noise}\n{planted} {noise}\n", f"{planted}={noise} {planted}", f"{noise} models={planted},{noise}"):
        found = key_list(text)
        assert planted not in " ".join((*found.problems, *found.warnings))
