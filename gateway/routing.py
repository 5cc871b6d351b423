"""`model: "auto"`: rules in a fixed order choose by what can be read of a request, and say why. Pure functions."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.bounded_json import is_bounded, read_object
from gateway.config import Routing, RoutingRule, ServedModel
from gateway.words import words_in

READ_CHARS = 4000
"""Of the last thing that the user said: whoever wants another model says so at once."""
PICTURE_PARTS = frozenset({"image_url", "input_image", "image"})
"""What a picture is called in the messages of OpenAI, of Responses and of Anthropic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What rules look at."""

    words: frozenset[str] = frozenset()
    chars: int = 0
    has_images: bool = False
    has_tools: bool = False


NO_QUESTION = Question()
"""Of a request in which nothing is read, such as an upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A model, and why it was chosen, in ASCII for a header."""

    model: str
    reason: str


def read_question(raw: bytes) -> Question:
    """Read a request. Raises ApiError for what is no JSON object; of too large a structure nothing is known."""
    return question_of(read_object(raw)) if is_bounded(raw) else NO_QUESTION


def question_of(body: Mapping[str, Any]) -> Question:
    """Return what rules look at: the last thing that the user said, pictures anywhere, and tools."""
    said = [item for item in _list(body.get("messages") or body.get("input")) if isinstance(item, dict)]
    texts = (_text(item.get("content")) for item in reversed(said) if item.get("role") == "user")
    text = next(filter(None, texts), "") if said else _text(body.get("prompt") or body.get("input"))
    return Question(
        words=words_in(text[:READ_CHARS]),
        chars=len(text),
        has_images=any(_is_picture(part) for item in said for part in _parts(item.get("content"))),
        has_tools=bool(_list(body.get("tools"))),
    )


def choose(
    routing: Routing, question: Question, models: Mapping[str, ServedModel], ready: Collection[str], default: str
) -> Choice:
    """Return the first of the models that a rule names, that is ready and that can: then the fallback, then any other.

    Where none is both, the first that could answer if it were ready: its state is what the client is told.
    """
    needs = {name for name, has in (("vision", question.has_images), ("tools", question.has_tools)) if has}
    needs &= {capability for model in models.values() for capability in model.capabilities}
    candidates = [each for each in _candidates(routing, question, models, default) if each.model in models]
    able = [each for each in candidates if needs <= {*models[each.model].capabilities}] or candidates
    passed_over: list[str] = []
    for choice in able:
        if choice.model in ready:
            return _explained(choice, passed_over)
        if choice.model not in passed_over:
            passed_over.append(choice.model)
    return able[0]


def _candidates(
    routing: Routing, question: Question, models: Mapping[str, ServedModel], default: str
) -> Iterator[Choice]:
    for rule in routing.rules:
        if why := _matches(rule, question):
            yield Choice(model=rule.model, reason=f"{rule.name}: {why}")
    yield Choice(model=routing.fallback or default, reason="fallback")
    for name in models:
        yield Choice(model=name, reason="can answer")


def _matches(rule: RoutingRule, question: Question) -> str | None:
    """Say why a rule applies; None where one of its conditions does not hold."""
    why: list[str] = []
    if rule.words:
        found = sorted(question.words & rule.folded)
        if not found:
            return None
        why.append(f"word {found[0].encode('ascii', 'backslashreplace').decode()}")
    for said, is_so, name in (
        (rule.has_images, question.has_images, "images"),
        (rule.tools, question.has_tools, "tools"),
    ):
        if said is not None:
            if said is not is_so:
                return None
            why.append(name if said else f"no {name}")
    if rule.min_prompt_chars is not None:
        if question.chars < rule.min_prompt_chars:
            return None
        why.append(f"{rule.min_prompt_chars} characters or more")
    return ", ".join(why)


def _explained(choice: Choice, passed_over: list[str]) -> Choice:
    if not passed_over:
        return choice
    return Choice(model=choice.model, reason=f"{choice.reason}; not ready: {', '.join(passed_over)}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parts(content: Any) -> list[dict[str, Any]]:
    return [part for part in _list(content) if isinstance(part, dict)]


def _is_picture(part: Mapping[str, Any]) -> bool:
    kind = part.get("type")
    return isinstance(kind, str) and kind in PICTURE_PARTS


def _text(content: Any) -> str:
    """Return the text of a message, or of a prompt; of a list as much as is read of it, and a little more."""
    if isinstance(content, str):
        return content
    said = (part.get("text") if isinstance(part, dict) else part for part in _list(content))
    return "\n".join(text for text in said if isinstance(text, str))
