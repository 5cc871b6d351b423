"""Which loads a benchmark consists of, and the generator's arguments for each. Decides, and touches nothing."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.bench_messages import Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The lengths of a kind of work, in tokens."""

    prefix_tokens: int
    """What all prompts begin with alike."""
    prompt_tokens: int
    """What each has of its own."""
    output_tokens: int
    pictures: int = 0
    """With each prompt."""

    def within(self, context_tokens: int) -> "Profile":
        """The same proportions where the context is too short for it; a few tokens stay free for special ones."""
        room = max(4, context_tokens - 16 - self.pictures * PICTURE_TOKENS)
        total = self.prefix_tokens + self.prompt_tokens + self.output_tokens
        if total <= room:
            return self
        return replace(
            self,
            prefix_tokens=self.prefix_tokens * room // total,
            prompt_tokens=max(1, self.prompt_tokens * room // total),
            output_tokens=max(2, self.output_tokens * room // total),
        )


PROFILES: Mapping[str, Profile] = {
    "chat": Profile(prefix_tokens=0, prompt_tokens=256, output_tokens=128),
    "code": Profile(prefix_tokens=768, prompt_tokens=256, output_tokens=256),
    "long": Profile(prefix_tokens=0, prompt_tokens=6144, output_tokens=256),
    "long-shared": Profile(prefix_tokens=5888, prompt_tokens=256, output_tokens=256),
    "pictures": Profile(prefix_tokens=0, prompt_tokens=64, output_tokens=128, pictures=1),
}
PICTURE_PIXELS = 896
"""Each way: the size that Gemma 3 scales every picture to."""
PICTURE_TOKENS = 1024
"""Kept free for a picture of that size. Gemma 3 makes 256 of it; those that cut pictures into patches make more."""
QUICK_TOKENS = 160
"""A quick run has the same proportions in a context of this length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model that is measured."""

    name: str
    tokenizer: str
    """The directory of its checkpoint on the host."""
    context_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One load: some models at the same time, each with so many requests in flight."""

    models: tuple[str, ...]
    profile: str
    concurrency: int
    requests: int
    """For each model."""

    @property
    def key(self) -> str:
        """The name of its file."""
        who = self.models[0] if len(self.models) == 1 else "together"
        return f"{who}-{self.profile}-c{self.concurrency}"


def plan_cells(
    models: Sequence[str],
    profiles: Sequence[str],
    concurrency: Sequence[int],
    *,
    seeing: Collection[str] = (),
    is_quick: bool,
) -> list[Cell]:
    """Every model alone, then all together; those that take pictures, which are `seeing`, where a profile has them."""
    groups = [(model,) for model in models] + ([tuple(models)] if len(models) > 1 else [])
    return [
        Cell(
            models=asked,
            profile=profile,
            concurrency=streams,
            requests=max(4, 2 * streams) if is_quick else max(12, 4 * streams),
        )
        for group in groups
        for profile in profiles
        if (asked := tuple(name for name in group if name in seeing or not PROFILES[profile].pictures))
        and (len(asked) > 1 or len(group) == 1)
        for streams in concurrency
    ]


def generators(cell: Cell, subjects: Mapping[str, Subject], seed: int, *, is_quick: bool) -> Iterator[Generator]:
    """One generator for each model. Equal seeds make equal prompts. Greedy, and the end of a text is passed over."""
    for name in cell.models:
        subject = subjects[name]
        profile, room = PROFILES[cell.profile], subject.context_tokens
        if is_quick:
            room = min(room, QUICK_TOKENS + profile.pictures * PICTURE_TOKENS)
        lengths = profile.within(room)
        # Only chats have pictures; those of every profile but theirs would differ by each model's template.
        api = ("openai-chat", "/v1/chat/completions") if lengths.pictures else ("openai", "/v1/completions")
        arguments = (
            *("bench", "serve", "--backend", api[0], "--endpoint", api[1]),
            *("--model", name, "--tokenizer", subject.tokenizer),
            *("--dataset-name", "random-mm" if lengths.pictures else "random", *_pictures(lengths.pictures)),
            *("--random-prefix-len", str(lengths.prefix_tokens), "--random-input-len", str(lengths.prompt_tokens)),
            *("--random-output-len", str(lengths.output_tokens), "--random-range-ratio", "0"),
            *("--num-prompts", str(cell.requests), "--max-concurrency", str(cell.concurrency)),
            *("--seed", str(seed), "--temperature", "0", "--ignore-eos"),
            *("--disable-tqdm", "--save-result", "--save-detailed"),
        )
        yield Generator(name, arguments)


def _pictures(count: int) -> Iterator[str]:
    """Random pixels, of one size: what compresses worst, and is in no cache."""
    if count:
        yield from ("--random-mm-base-items-per-request", str(count))
        yield from ("--random-mm-limit-mm-per-prompt", f'{{"image": {count}}}')
        yield from ("--random-mm-bucket-config", f"{{({PICTURE_PIXELS}, {PICTURE_PIXELS}, 1): 1.0}}")
