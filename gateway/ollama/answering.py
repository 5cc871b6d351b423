"""From an engine's answer to Ollama's lines, with the times that were measured and the engine's own counts."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, TypedDict

from gateway.errors import ApiError, upstream_failed
from gateway.ollama.translation import Kind, Translation
from gateway.sse import EventStream
from gateway.tokens import Tokens

DONE = b"[DONE]"
_EMBEDDING, _OPENING = b'"embedding"', re.compile(rb"\s*:\s*\[")
REASONS = {"tool_calls": "stop"}
"""Where Ollama has another word for why an answer ended."""
MAX_WHOLE_CHARS = 16 * 1024 * 1024
"""Of an answer that is gathered because its client does not want it in pieces."""


def now() -> str:
    """Return the time as Ollama writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass(slots=True, kw_only=True)
class Times:
    """When what happened, on one clock of seconds."""

    began: float
    """The request came."""
    asked: float
    """The engine got it: before, it waited for an engine that was loading or restarting."""
    clock: Callable[[], float]
    first: float | None = None
    """The first token came."""

    def saw_token(self) -> None:
        """Note a token."""
        if self.first is None:
            self.first = self.clock()

    def figures(self, usage: Mapping[str, Any]) -> dict[str, int]:
        """Return durations up to now in nanoseconds, and the engine's counts where it gave them."""
        end = self.clock()
        first = end if self.first is None else self.first
        told = {
            "total_duration": _ns(end - self.began),
            "load_duration": _ns(self.asked - self.began),
            "prompt_eval_count": usage.get("prompt_tokens"),
            "prompt_eval_duration": _ns(first - self.asked),
            "eval_count": usage.get("completion_tokens"),
            "eval_duration": _ns(end - first),
        }
        return {key: value for key, value in told.items() if value is not None}


@dataclass(slots=True)
class Gathered:
    """A tool call, or what came of it so far."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class CalledFunction(TypedDict):
    """What a model called."""

    name: str
    arguments: Mapping[str, Any]


class Called(TypedDict):
    """A tool call, as Ollama writes it."""

    id: NotRequired[str]
    function: CalledFunction


class Message(TypedDict):
    """What a model said in a chat, as Ollama writes it."""

    role: Literal["assistant"]
    content: str
    thinking: NotRequired[str]
    tool_calls: NotRequired[list[Called]]


class Said(TypedDict, total=False):
    """The words of one line: a message in a chat, else the other two."""

    message: Message
    response: str
    thinking: str


class Lines(EventStream):
    """An engine's events as Ollama's lines, or as one object for who asked for no stream."""

    def __init__(self, asked: Translation, model: str, times: Times, stamp: Callable[[], str] = now) -> None:
        super().__init__((b"data: [DONE]",))
        self.content_type = "application/x-ndjson" if asked.is_streamed else "application/json; charset=utf-8"
        self._asked, self._model, self._times, self._stamp = asked, asked.model or model, times, stamp
        self._line = b""
        self._calls: dict[int, Gathered] = {}
        self._usage: Mapping[str, Any] = {}
        self._reason = "stop"
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._size = 0
        self._has_spoken = self._has_failed = False

    def told(self, ready: bytes) -> bytes:
        *lines, self._line = (self._line + ready).split(b"\n")
        said = b""
        for data in (line[5:].strip() for line in lines if line.startswith(b"data:")):
            try:
                said += b"" if self._has_failed else self._event(data)
            except ApiError as error:
                self._has_failed = self.said_error = True
                if not (said or self._has_spoken):  # nothing has gone out, not even a status
                    raise
                said += self.interruption(error)
        self._has_spoken = self._has_spoken or bool(said)
        return said

    def rest(self) -> bytes:
        return b""

    def interruption(self, error: ApiError) -> bytes:
        return _line({"error": error.message})

    def _event(self, data: bytes) -> bytes:
        if data == DONE:
            return self._last()
        try:
            chunk = json.loads(data)
        except ValueError:
            return b""
        if "error" in chunk:
            raise _failed(chunk["error"])
        self._usage = chunk.get("usage") or self._usage
        return b"".join(self._choice(choice) for choice in chunk.get("choices", ()))

    def _choice(self, choice: Mapping[str, Any]) -> bytes:
        delta = choice.get("delta") or {}
        text = delta.get("content") or choice.get("text") or ""
        thought = delta.get("reasoning") or delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls") or ():
            self._gather(call)
        if text or thought or delta.get("tool_calls"):
            self._times.saw_token()
        thought = thought if self._asked.wants_thoughts else ""
        if reason := choice.get("finish_reason"):
            self._reason = REASONS.get(reason, reason)
        if not self._asked.is_streamed:
            self._keep(text, thought)
            return b""
        out = self._say(text, thought) if text or thought else b""
        return out + (self._say_calls() if reason and self._calls else b"")

    def _keep(self, text: str, thought: str) -> None:
        self._texts.append(text)
        self._thoughts.append(thought)
        self._size += len(text) + len(thought)
        if self._size > MAX_WHOLE_CHARS:
            raise ApiError(502, "upstream_error", "The answer is too long to be given whole. Ask for a stream.")

    def _gather(self, call: Mapping[str, Any]) -> None:
        gathered = self._calls.setdefault(call.get("index", len(self._calls)), Gathered())
        function = call.get("function") or {}
        gathered.id = call.get("id") or gathered.id
        gathered.name = function.get("name") or gathered.name
        gathered.arguments.append(function.get("arguments") or "")

    def _say_calls(self) -> bytes:
        calls = self._whole_calls()
        return _line(
            {**self._head(), "message": {"role": "assistant", "content": "", "tool_calls": calls}, "done": False}
        )

    def _whole_calls(self) -> list[Called]:
        whole = [_tool_call(self._calls[index]) for index in sorted(self._calls)]
        self._calls.clear()
        return whole

    def _say(self, text: str, thought: str) -> bytes:
        return _line({**self._head(), **self._words(text, thought), "done": False})

    def _words(self, text: str, thought: str, calls: list[Called] | None = None) -> Said:
        if self._asked.kind is Kind.GENERATE:
            return {"response": text, "thinking": thought} if thought else {"response": text}
        message: Message = {"role": "assistant", "content": text}
        if thought:
            message["thinking"] = thought
        if calls:
            message["tool_calls"] = calls
        return {"message": message}

    def _head(self) -> dict[str, str]:
        return {"model": self._model, "created_at": self._stamp()}

    def _last(self) -> bytes:
        words = self._words("".join(self._texts), "".join(self._thoughts), self._whole_calls())
        figures = self._times.figures(self._usage)
        return _line({**self._head(), **words, "done": True, "done_reason": self._reason, **figures})


def loaded(asked: Translation, model: str) -> bytes:
    """Return the answer to a request without a prompt: the model is there."""
    words = {"response": ""} if asked.kind is Kind.GENERATE else {"message": {"role": "assistant", "content": ""}}
    return _line({"model": asked.model or model, "created_at": now(), **words, "done": True, "done_reason": "load"})


def embedded(asked: Translation, model: str, body: bytes, times: Times) -> bytes:
    """Return an engine's embeddings as Ollama gives them."""
    vectors = list(_vectors(body))
    if not vectors and b'"data"' not in body:
        raise upstream_failed(model)
    if asked.kind is Kind.EMBEDDINGS:
        return b'{"embedding": %s}\n' % (vectors[0] if vectors else b"[]")
    tokens = Tokens()
    tokens.see_answer(body)
    told = times.figures({"prompt_tokens": tokens.prompt} if tokens.is_told else {})
    wanted = ("total_duration", "load_duration", "prompt_eval_count")
    figures = {key: value for key, value in told.items() if key in wanted}
    head = json.dumps({"model": asked.model or model, **figures}).encode()
    return b'%s, "embeddings": [%s]}\n' % (head[:-1], b", ".join(vectors))


def _vectors(body: bytes) -> Iterator[bytes]:
    """Return each embedding as the engine wrote it: a batch has millions of numbers, and reading them takes seconds."""
    end = 0
    while (at := body.find(_EMBEDDING, end)) >= 0:
        end = at + len(_EMBEDDING)
        if found := _OPENING.match(body, end):
            end = body.find(b"]", found.end()) + 1
            if not end:
                return
            yield body[found.end() - 1 : end]


def _tool_call(gathered: Gathered) -> Called:
    text = "".join(gathered.arguments) or "{}"
    try:
        arguments = json.loads(text)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise ApiError(502, "upstream_error", f"The model called {gathered.name!r} with arguments that are no object.")
    function: CalledFunction = {"name": gathered.name, "arguments": arguments}
    return {"id": gathered.id, "function": function} if gathered.id else {"function": function}


def _failed(error: Any) -> ApiError:
    """An engine's own error within its stream."""
    told = error if isinstance(error, dict) else {"message": str(error)}
    return ApiError(502, "upstream_error", str(told.get("message", "The engine failed.")))


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
