"""From a request of Ollama's API to the body that an engine understands."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gateway.bounded_json import read_object
from gateway.errors import ApiError, bad_request, shown
from gateway.ollama.translation import Content, Kind, Message, Picture, ToolCall, Translation, Words

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"

OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "min_p": "min_p",
        "seed": "seed",
        "stop": "stop",
        "num_predict": "max_tokens",
        "repeat_penalty": "repetition_penalty",
        "presence_penalty": "presence_penalty",
        "frequency_penalty": "frequency_penalty",
    }
)
"""What engines have too. Others, such as num_ctx or num_thread, are of a runner that is not here, and ignored."""
UNLIMITED_BELOW: Mapping[str, int] = MappingProxyType({"num_predict": 1, "seed": 0})
"""Ollama's way to say: no limit, no fixed seed. An engine is told nothing then."""
TOP_LEVEL = ("temperature", "top_p", "top_k", "max_tokens", "stop", "seed")
"""What clients of the earlier server write beside `prompt`."""
RAW_MAX_TOKENS = 128
"""Of a raw prompt without num_predict: vLLM cannot be asked for as many as fit there, and would give 16."""
PICTURES = (("/9j/", "jpeg"), ("iVBORw0KGgo", "png"), ("R0lGOD", "gif"), ("UklGR", "webp"))
"""How a picture's first bytes look in base64."""


def translated(route: str, raw: bytes) -> Translation | None:
    """Return how a request to this route is put to an engine; None where engines have the route themselves."""
    translate = ROUTES.get(route)
    return None if translate is None else translate(read_object(raw))


def chat(asked: Mapping[str, Any]) -> Translation:
    """Translate POST /api/chat."""
    messages = _messages(asked.get("messages") or [])
    body = {"messages": messages, **_generation(asked)}
    if tools := _list(asked, "tools"):
        body["tools"] = tools
    return _generating(Kind.CHAT, CHAT, asked, body, is_load=not messages)


def generate(asked: Mapping[str, Any], *, is_streamed: bool = True) -> Translation:
    """Translate POST /api/generate: a chat of one question, unless the prompt is said to be raw."""
    _refuse(asked, "template", "The engine has the model's own chat template. Leave it out, or send the prompt raw.")
    _refuse(asked, "suffix", "No served model fills in the middle. Leave it out.")
    _refuse(asked, "context", "Nothing is remembered between requests. Send the conversation to /api/chat.")
    prompt, pictures = _text(asked, "prompt"), _list(asked, "images")
    older = {key: asked[key] for key in TOP_LEVEL if asked.get(key) is not None}
    more = {**older, **_generation(asked)}
    is_load = not prompt and not pictures
    if asked.get("raw") is True:
        if pictures:
            raise bad_request("'images' cannot go with a raw prompt. Leave one of them out.", param="images")
        body = {"prompt": prompt, "max_tokens": RAW_MAX_TOKENS, **more}
        return _generating(Kind.GENERATE, COMPLETIONS, asked, body, is_load=is_load, is_streamed=is_streamed)
    system = _text(asked, "system")
    said: list[Message] = [{"role": "system", "content": system}] if system else []
    said.append({"role": "user", "content": _content(prompt, pictures)})
    body = {"messages": said, **more}
    return _generating(Kind.GENERATE, CHAT, asked, body, is_load=is_load, is_streamed=is_streamed)


def embed(asked: Mapping[str, Any]) -> Translation:
    """Translate POST /api/embed."""
    body = {"input": asked.get("input", []), "encoding_format": "float"}
    if asked.get("truncate") is not False:
        body["truncate_prompt_tokens"] = -1  # to what the model can read
    if asked.get("dimensions") is not None:
        body["dimensions"] = asked["dimensions"]
    return Translation(kind=Kind.EMBED, path=EMBEDDINGS, body=_named(asked, body), model=_model(asked))


def embeddings(asked: Mapping[str, Any]) -> Translation:
    """Translate POST /api/embeddings."""
    body = {"input": _text(asked, "prompt"), "encoding_format": "float", "truncate_prompt_tokens": -1}
    return Translation(kind=Kind.EMBEDDINGS, path=EMBEDDINGS, body=_named(asked, body), model=_model(asked))


ROUTES: Mapping[str, Callable[[Mapping[str, Any]], Translation]] = MappingProxyType(
    {
        "/api/chat": chat,
        "/api/generate": generate,
        "/api/embed": embed,
        "/api/embeddings": embeddings,
        "/generate": lambda asked: generate(asked, is_streamed=False),  # of an earlier server, which did not stream
    }
)


def _generating(
    kind: Kind, path: str, asked: Mapping[str, Any], body: dict[str, Any], *, is_load: bool, is_streamed: bool = True
) -> Translation:
    # Engines are always asked for a stream: only so can the time to the first token be told from that of the others.
    body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    stream = asked.get("stream")
    return Translation(
        kind=kind,
        path=path,
        body=_named(asked, body),
        model=_model(asked),
        is_streamed=is_streamed if stream is None else stream is True,
        is_load=is_load,
        wants_thoughts=asked.get("think") is not False,
    )


def _named(asked: Mapping[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    return {"model": asked.get("model"), **body}


def _model(asked: Mapping[str, Any]) -> str:
    model = asked.get("model")
    return model if isinstance(model, str) else ""


def _generation(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Translate what is said about how to generate: options, format, thinking."""
    options = asked.get("options") or {}
    if not isinstance(options, dict):
        raise bad_request(f"'options' must be an object, got {shown(options)}. Send an object.", param="options")
    body = {name: options[key] for key, name in OPTIONS.items() if _says(key, options.get(key))}
    if told := _response_format(asked.get("format")):
        body["response_format"] = told
    think = asked.get("think")
    if think is not None:
        # Chat templates call it by one of these names, and take no notice of the other.
        body["chat_template_kwargs"] = {"enable_thinking": bool(think), "thinking": bool(think)}
    if isinstance(think, str):
        body["reasoning_effort"] = think
    return body


def _says(key: str, value: Any) -> bool:
    least = UNLIMITED_BELOW.get(key)
    return value is not None and not (least is not None and isinstance(value, int) and value < least)


def _response_format(told: Any) -> dict[str, Any] | None:
    if told in (None, ""):
        return None
    if told == "json":
        return {"type": "json_object"}
    if isinstance(told, dict):
        return {"type": "json_schema", "json_schema": {"name": "format", "schema": told}}
    raise bad_request(
        f"'format' must be \"json\" or a JSON schema, got {shown(told)}. Send one of them.", param="format"
    )


def _messages(told: Any) -> list[Message]:
    if not isinstance(told, list) or not all(isinstance(message, dict) for message in told):
        raise bad_request(
            f"'messages' must be a list of objects, got {shown(told)}. Send such a list.", param="messages"
        )
    messages: list[Message] = []
    calls: list[ToolCall] = []  # that wait for what their tools returned
    for message in told:
        content = _content(_text(message, "content"), _list(message, "images"))
        if message.get("role") == "tool":
            messages.append({"role": "tool", "content": content, "tool_call_id": _answered_call(message, calls)})
            continue
        said: Message = {"role": message.get("role"), "content": content}
        if thoughts := _text(message, "thinking"):
            said["reasoning"] = thoughts
        if made := _list(message, "tool_calls"):
            said["tool_calls"] = calls = [_tool_call(call, number) for number, call in enumerate(made, len(messages))]
            calls = list(calls)
        messages.append(said)
    return messages


def _tool_call(call: Any, number: int) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        what = f"a tool call must have a function with a name, got {shown(call)}. Send it as it came."
        raise bad_request(f"'messages': {what}", param="messages")
    arguments = function.get("arguments") or {}
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    # Ollama's calls may have no names; nine characters, for Mistral's templates take no other length.
    name = call.get("id") or f"call{number:05d}"
    return {"id": name, "type": "function", "function": {"name": function["name"], "arguments": text}}


def _answered_call(message: Mapping[str, Any], calls: list[ToolCall]) -> str:
    """Return the id of the call that a tool's message answers: named, or the first of that tool, or the next."""
    if isinstance(message.get("tool_call_id"), str):
        return str(message["tool_call_id"])
    tool = message.get("tool_name") or message.get("name")
    found = next((call for call in calls if call["function"]["name"] == tool), calls[0] if calls else None)
    if found is None:
        what = "a tool's message must follow a message with tool_calls. Send the conversation whole."
        raise bad_request(f"'messages': {what}", param="messages")
    calls.remove(found)
    return found["id"]


def _content(text: str, pictures: list[Any]) -> Content:
    if not pictures:
        return text
    parts: list[Picture | Words] = [
        {"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in pictures
    ]
    return [*parts, {"type": "text", "text": text}] if text else parts


def _data_url(picture: Any) -> str:
    if not isinstance(picture, str) or not picture:
        raise bad_request(f"'images' must hold pictures in base64, got {shown(picture)}. Encode them.", param="images")
    if picture.startswith("data:"):
        return picture
    kind = next((kind for start, kind in PICTURES if picture.startswith(start)), "png")
    return f"data:image/{kind};base64,{picture}"


def _text(asked: Mapping[str, Any], key: str) -> str:
    value = asked.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(key, "text", value)
    return value


def _list(asked: Mapping[str, Any], key: str) -> list[Any]:
    value = asked.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(key, "a list", value)
    return value


def _wrong(key: str, kind: str, value: Any) -> ApiError:
    return bad_request(f"{key!r} must be {kind}, got {shown(value)}. Send {kind}.", param=key)


def _refuse(asked: Mapping[str, Any], key: str, why: str) -> None:
    if value := asked.get(key):
        raise bad_request(f"{key!r} is not served, got {shown(value)}: {why}", param=key)
