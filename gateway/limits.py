"""How much one caller may ask: requests by a bucket that refills, tokens by the day in UTC. Pure decisions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.client_keys import ClientKey
from gateway.errors import ApiError, too_many_requests, too_many_tokens

DAY_S = 86_400
ROUNDING = 1e-9
"""Who waits exactly as long as told must not be a rounding error short."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Requests that may still come at once, and when that was counted."""

    level: float
    at_s: float


def take(bucket: Bucket | None, per_minute: int, now_s: float) -> tuple[Bucket, float]:
    """Return the bucket after one more request and 0.0; of one that is empty, as it is now and how long to wait."""
    level = float(per_minute)
    if bucket is not None:
        level = min(level, bucket.level + (now_s - bucket.at_s) * per_minute / 60)
    if level >= 1 - ROUNDING:
        return Bucket(max(0.0, level - 1), now_s), 0.0
    return Bucket(level, now_s), (1 - level) * 60 / per_minute


def day_at(now_s: float) -> str:
    """Return the day of a time in seconds since 1970, as 2026-01-31."""
    return datetime.fromtimestamp(now_s, UTC).date().isoformat()


def day_ends_in_s(now_s: float) -> float:
    """Return how long that day still lasts."""
    return DAY_S - now_s % DAY_S


def whole_s(seconds: float) -> int:
    """Return a Retry-After: whoever waits that long is not early."""
    return max(1, math.ceil(seconds - ROUNDING))


def duration(seconds: float) -> str:
    """Write a time as OpenAI does in its headers: 250ms, 1s, 6m0s, 1h0m0s."""
    milliseconds = math.ceil(seconds * 1000 - ROUNDING)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    whole, rest = divmod(milliseconds, 1000)
    hours, minutes, under = whole // 3600, whole % 3600 // 60, whole % 60
    shown = f"{under}.{rest:03}".rstrip("0").rstrip(".") if rest else str(under)
    return f"{f'{hours}h' if hours else ''}{f'{minutes}m' if hours or minutes else ''}{shown}s"


class Limits:
    """Counts the requests of every caller that has a limit. Two keys of one name are one caller."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def judge(
        self, key: ClientKey, *, used_tokens: int, monotonic_s: float, now_s: float
    ) -> tuple[Mapping[str, str], ApiError | None]:
        """Count one request; return what its answer's head says of the limits, and why it comes too early, if it does.

        One that is refused is not counted.
        """
        headers: dict[str, str] = {}
        if (most := key.tokens_per_day) is not None:
            left_s = day_ends_in_s(now_s)
            headers |= _headers("tokens", most, max(0, most - used_tokens), left_s)
            if used_tokens >= most:
                return headers, too_many_tokens(most, whole_s(left_s))
        if (rate := key.requests_per_minute) is not None:
            bucket, wait_s = take(self._buckets.get(key.name), rate, monotonic_s)
            self._buckets[key.name] = bucket
            headers |= _headers("requests", rate, int(bucket.level + ROUNDING), (rate - bucket.level) * 60 / rate)
            if wait_s:
                return headers, too_many_requests(rate, whole_s(wait_s))
        return headers, None


def _headers(what: str, most: int, left: int, reset_s: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(most),
        f"x-ratelimit-remaining-{what}": str(left),
        f"x-ratelimit-reset-{what}": duration(reset_s),
    }
