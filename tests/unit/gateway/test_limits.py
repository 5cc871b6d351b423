"""What a caller's limits decide: literal times, no clock."""

from collections.abc import Mapping

import pytest

from agent.client_keys import ClientKey
from gateway.errors import ApiError
from gateway.limits import Bucket, Limits, day_at, day_ends_in_s, duration, take, whole_s
from gateway.tenancy import allowed_of

JANUARY_31 = 1769817600.0  # date -u -d '2026-01-31' +%s


def key(*, requests_per_minute: int | None = None, tokens_per_day: int | None = None) -> ClientKey:
    return ClientKey(digest=b"", name="alice", requests_per_minute=requests_per_minute, tokens_per_day=tokens_per_day)


def judged(limits: Limits, who: ClientKey, at_s: float) -> tuple[Mapping[str, str], ApiError | None]:
    return limits.judge(who, used_tokens=0, monotonic_s=at_s, now_s=JANUARY_31)


def test_a_bucket_is_full_at_first_and_refills_evenly() -> None:
    bucket, waits = None, []
    for now_s in (0.0, 0.0, 0.0, 10.0, 30.0, 30.0, 60.0):  # two a minute: one in 30 s
        bucket, wait_s = take(bucket, 2, now_s)
        waits.append(wait_s)
    assert waits == pytest.approx([0.0, 0.0, 30.0, 20.0, 0.0, 30.0, 0.0])


def test_an_hour_of_silence_fills_it_once() -> None:
    bucket, wait_s = take(Bucket(0.0, 0.0), 5, 3600.0)
    assert (bucket, wait_s) == (Bucket(4.0, 3600.0), 0.0)


@pytest.mark.parametrize("rate", [1, 3, 7, 59, 61, 997])
def test_who_waits_exactly_as_long_as_told_is_let_in_and_not_much_earlier(rate: int) -> None:
    bucket: Bucket | None = None
    for now_s in (0.1, 0.2, 0.3):
        for _ in range(rate):
            bucket, _ = take(bucket, rate, now_s)
    bucket, wait_s = take(bucket, rate, 0.3)
    assert 0 < wait_s <= 60 / rate
    assert take(bucket, rate, 0.3 + wait_s * 0.99)[1] > 0
    assert take(bucket, rate, 0.3 + wait_s)[1] == 0


def test_a_limit_in_requests_tells_how_many_are_left_and_when_the_next_may_come() -> None:
    limits = Limits()
    told = [judged(limits, key(requests_per_minute=2), at_s) for at_s in (5.0, 5.0, 5.5, 35.5)]
    assert [(dict(headers), refusal and refusal.retry_after_s) for headers, refusal in told] == [
        (requests("2", "1", "30s"), None),
        (requests("2", "0", "1m0s"), None),
        (requests("2", "0", "59.5s"), 30),
        (requests("2", "0", "59.5s"), None),
    ]
    refusal = told[2][1]
    assert refusal is not None
    assert (refusal.status, refusal.code) == (429, "rate_limit_exceeded")
    assert refusal.message == "This API key may send 2 requests a minute. Ask again in 30 s."


def requests(most: str, left: str, reset: str) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": most,
        "x-ratelimit-remaining-requests": left,
        "x-ratelimit-reset-requests": reset,
    }


def test_a_limit_in_tokens_lasts_until_midnight_in_utc() -> None:
    limits, alice, late = Limits(), key(tokens_per_day=1000), JANUARY_31 + 86_399.25
    headers, refusal = limits.judge(alice, used_tokens=999, monotonic_s=0, now_s=JANUARY_31 + 3600)
    assert refusal is None
    assert dict(headers) == {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "1",
        "x-ratelimit-reset-tokens": "23h0m0s",
    }
    _, refusal = limits.judge(alice, used_tokens=1000, monotonic_s=0, now_s=late)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.retry_after_s) == (429, "insufficient_quota", 1)
    _, refusal = limits.judge(alice, used_tokens=5000, monotonic_s=0, now_s=JANUARY_31)
    assert refusal is not None
    assert refusal.retry_after_s == 86_400


def test_who_has_used_up_the_day_takes_no_request_from_the_minute() -> None:
    limits, alice = Limits(), key(tokens_per_day=1, requests_per_minute=1)
    for _ in range(3):
        assert limits.judge(alice, used_tokens=1, monotonic_s=0, now_s=JANUARY_31)[1] is not None
    assert limits.judge(alice, used_tokens=0, monotonic_s=0, now_s=JANUARY_31)[1] is None


def test_two_keys_of_one_caller_share_a_minute_and_another_caller_has_its_own() -> None:
    limits = Limits()
    first, second = (ClientKey(digest=each, name="alice", requests_per_minute=1) for each in (b"1", b"2"))
    other = ClientKey(digest=b"3", name="bob", requests_per_minute=1)
    refused = [judged(limits, each, 0)[1] is not None for each in (first, second, other)]
    assert refused == [False, True, False]


def test_days_are_those_of_utc() -> None:
    assert [day_at(JANUARY_31 + each) for each in (-0.5, 0, 86_399.9, 86_400)] == [
        "2026-01-30", "2026-01-31", "2026-01-31", "2026-02-01",
    ]  # fmt: skip
    assert [day_ends_in_s(JANUARY_31 + each) for each in (0, 1.5, 86_399)] == [86_400, 86_398.5, 1]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0ms"), (0.25, "250ms"), (0.9991, "1s"), (1, "1s"), (59.5, "59.5s"), (360, "6m0s"), (3661.25, "1h1m1.25s")],
)
def test_a_time_is_written_as_openai_does(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_retry_after_is_never_early_and_never_nothing() -> None:
    assert [whole_s(each) for each in (0.001, 1.0, 1.001, 29.9999999999)] == [1, 1, 2, 30]


def test_a_list_names_models_as_clients_may() -> None:
    owner = {"alpha": "alpha", "beta": "beta", "fast": "alpha", "sql": "beta"}
    assert allowed_of(("fast", "sql", "gone", "alpha"), owner, frozenset({"sql"})) == ["alpha", "sql"]
