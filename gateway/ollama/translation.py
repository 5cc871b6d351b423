"""One request of Ollama's API as an engine is asked for it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NotRequired, TypedDict


class Kind(StrEnum):
    """What the client waits for."""

    CHAT = "chat"
    GENERATE = "generate"
    EMBED = "embed"
    EMBEDDINGS = "embeddings"
    """The older form of EMBED, of one text."""


class Function(TypedDict):
    """What is called: `arguments` are JSON."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """A call that a model made, as OpenAI writes it."""

    id: str
    type: Literal["function"]
    function: Function


class Picture(TypedDict):
    """A picture in a message."""

    type: Literal["image_url"]
    image_url: dict[Literal["url"], str]


class Words(TypedDict):
    """A text in a message, beside pictures."""

    type: Literal["text"]
    text: str


Content = str | list[Picture | Words]


class Message(TypedDict):
    """One of a conversation, as OpenAI writes it. Which roles there are is for the engine to say."""

    role: Any
    content: Content
    reasoning: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall]]
    tool_call_id: NotRequired[str]
    """Of a tool's answer: to which call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """Where and what an engine is asked, and what its answer is to become."""

    kind: Kind
    path: str
    """Of the engine."""
    body: dict[str, Any]
    model: str
    """As the client wrote it, which is how the answer calls it."""
    is_streamed: bool = False
    is_load: bool = False
    """Without a prompt Ollama only loads the model: no engine is asked."""
    wants_thoughts: bool = True
