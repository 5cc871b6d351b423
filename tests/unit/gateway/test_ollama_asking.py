"""What an engine is asked for each request of Ollama's API. The requests are those of Ollama's documentation."""

import json
from typing import Any

import pytest

from gateway.errors import ApiError
from gateway.ollama.asking import translated

STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
PNG = "iVBORw0KGgoAAAANSUhEUg"


def asked(route: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    translation = translated(route, json.dumps(body).encode())
    assert translation is not None
    return translation.path, translation.body


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            {"model": "m", "messages": [{"role": "user", "content": "why is the sky blue?"}]},
            {"messages": [{"role": "user", "content": "why is the sky blue?"}]},
        ),
        (
            {
                "model": "m",
                "messages": [{"role": "user", "content": "what is in this image?", "images": [PNG, "/9j/4AAQ"]}],
            },
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AAQ"}},
                            {"type": "text", "text": "what is in this image?"},
                        ],
                    }
                ]
            },
        ),
        (
            {
                "model": "m",
                "messages": [
                    {"role": "user", "content": "weather?"},
                    {
                        "role": "assistant",
                        "content": "",
                        "thinking": "hm",
                        "tool_calls": [
                            {"function": {"name": "weather", "arguments": {"city": "Tokyo"}}},
                            {"function": {"name": "time", "arguments": {}}},
                        ],
                    },
                    {"role": "tool", "tool_name": "time", "content": "noon"},
                    {"role": "tool", "tool_name": "weather", "content": "11 degrees"},
                ],
                "tools": [{"type": "function", "function": {"name": "weather"}}],
            },
            {
                "messages": [
                    {"role": "user", "content": "weather?"},
                    {
                        "role": "assistant",
                        "content": "",
                        "reasoning": "hm",
                        "tool_calls": [
                            {
                                "id": "call00001",
                                "type": "function",
                                "function": {"name": "weather", "arguments": '{"city": "Tokyo"}'},
                            },
                            {"id": "call00002", "type": "function", "function": {"name": "time", "arguments": "{}"}},
                        ],
                    },
                    {"role": "tool", "content": "noon", "tool_call_id": "call00002"},
                    {"role": "tool", "content": "11 degrees", "tool_call_id": "call00001"},
                ],
                "tools": [{"type": "function", "function": {"name": "weather"}}],
            },
        ),
    ],
)
def test_a_chat_keeps_pictures_tools_and_what_tools_returned(told: dict[str, Any], expected: dict[str, Any]) -> None:
    assert asked("/api/chat", told) == ("/v1/chat/completions", {"model": "m", **expected, **STREAMED})


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, {}),
        ({"options": None}, {}),
        (
            {
                "options": {
                    "temperature": 0, "num_predict": 100, "top_k": 20, "top_p": 0.9, "min_p": 0.0, "seed": 42,
                    "stop": ["\n", "user:"], "repeat_penalty": 1.2, "presence_penalty": 1.5, "frequency_penalty": 1.0,
                    "num_ctx": 1024, "num_batch": 2, "num_gpu": 1, "num_thread": 8, "typical_p": 0.7, "unknown": 1,
                }
            },
            {
                "temperature": 0, "max_tokens": 100, "top_k": 20, "top_p": 0.9, "min_p": 0.0, "seed": 42,
                "stop": ["\n", "user:"], "repetition_penalty": 1.2, "presence_penalty": 1.5, "frequency_penalty": 1.0,
            },
        ),
        ({"options": {"num_predict": -1, "seed": -1}}, {}),
        ({"options": {"num_predict": -2, "temperature": None}}, {}),
        ({"format": "json"}, {"response_format": {"type": "json_object"}}),
        ({"format": ""}, {}),
        (
            {"format": {"type": "x"}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "format", "schema": {"type": "x"}}}},
        ),
        ({"think": True}, {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}}),
        ({"think": False}, {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
        (
            {"think": "high"},
            {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}, "reasoning_effort": "high"},
        ),
        ({"keep_alive": "5m", "nobody": "knows"}, {}),
    ],
)  # fmt: skip
def test_options_become_the_engines_parameters_and_others_are_ignored(
    told: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "?"}], **told}
    assert asked("/api/chat", body)[1] == {
        "model": "m",
        "messages": [{"role": "user", "content": "?"}],
        **expected,
        **STREAMED,
    }


@pytest.mark.parametrize(
    ("told", "path", "expected"),
    [
        (
            {"model": "llama3.2", "prompt": "Why?", "system": "Be brief.", "template": "", "images": []},
            "/v1/chat/completions",
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]},
        ),
        (
            {"prompt": "What is it?", "images": [PNG]},
            "/v1/chat/completions",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                            {"type": "text", "text": "What is it?"},
                        ],
                    }
                ]
            },
        ),
        ({"prompt": "[INST] why? [/INST]", "raw": True}, "/v1/completions",
         {"prompt": "[INST] why? [/INST]", "max_tokens": 128}),
        ({"prompt": "x", "raw": True, "options": {"num_predict": 7}}, "/v1/completions",
         {"prompt": "x", "max_tokens": 7}),
        (  # the earlier server's
            {"prompt": "x", "temperature": 0.5, "top_p": 0.8, "max_tokens": 9, "options": {"temperature": 0.1}},
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "temperature": 0.1, "top_p": 0.8, "max_tokens": 9},
        ),
    ],
)  # fmt: skip
def test_a_prompt_is_a_chat_of_one_question_unless_it_is_raw(
    told: dict[str, Any], path: str, expected: dict[str, Any]
) -> None:
    assert asked("/api/generate", told) == (path, {"model": told.get("model"), **expected, **STREAMED})


@pytest.mark.parametrize(
    ("route", "stream", "expected"),
    [
        ("/api/chat", None, True),
        ("/api/chat", False, False),
        ("/api/generate", None, True),
        ("/api/generate", True, True),
        ("/generate", None, False),
        ("/generate", True, True),
    ],
)
def test_a_stream_is_what_ollama_gives_unless_told_otherwise(route: str, stream: bool | None, expected: bool) -> None:
    body = {"messages": [{"role": "user", "content": "?"}], "prompt": "?", "stream": stream}
    translation = translated(route, json.dumps(body).encode())
    assert translation is not None
    assert translation.is_streamed is expected


@pytest.mark.parametrize(
    ("route", "told", "expected"),
    [
        ("/api/embed", {"model": "m", "input": "why"},
         {"model": "m", "input": "why", "encoding_format": "float", "truncate_prompt_tokens": -1}),
        ("/api/embed", {"model": "m", "input": ["a", "b"], "truncate": False, "dimensions": 8, "keep_alive": 0},
         {"model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 8}),
        ("/api/embeddings", {"model": "m", "prompt": "why"},
         {"model": "m", "input": "why", "encoding_format": "float", "truncate_prompt_tokens": -1}),
    ],
)  # fmt: skip
def test_embeddings_are_asked_for_as_numbers(route: str, told: dict[str, Any], expected: dict[str, Any]) -> None:
    assert asked(route, told) == ("/v1/embeddings", expected)


@pytest.mark.parametrize(
    ("route", "told", "message"),
    [
        ("/api/generate", {"prompt": "x", "template": "{{ .Prompt }}"},
         "'template' is not served, got '{{ .Prompt }}': The engine has the model's own chat template. "
         "Leave it out, or send the prompt raw."),
        ("/api/generate", {"prompt": "x", "suffix": "y"},
         "'suffix' is not served, got 'y': No served model fills in the middle. Leave it out."),
        ("/api/generate", {"prompt": "x", "context": [1, 2]},
         "'context' is not served, got [1, 2]: Nothing is remembered between requests. "
         "Send the conversation to /api/chat."),
        ("/api/generate", {"prompt": 7}, "'prompt' must be text, got 7. Send text."),
        ("/api/generate", {"prompt": "x", "images": [7]},
         "'images' must hold pictures in base64, got 7. Encode them."),
        ("/api/generate", {"prompt": "x", "images": [PNG], "raw": True},
         "'images' cannot go with a raw prompt. Leave one of them out."),
        ("/api/chat", {"messages": "hello"}, "'messages' must be a list of objects, got 'hello'. Send such a list."),
        ("/api/chat", {"messages": ["hello"]},
         "'messages' must be a list of objects, got ['hello']. Send such a list."),
        ("/api/chat", {"messages": [{"role": "user", "content": []}]}, "'content' must be text, got []. Send text."),
        ("/api/chat", {"messages": [{"role": "user", "tool_calls": [{}]}]},
         "'messages': a tool call must have a function with a name, got {}. Send it as it came."),
        ("/api/chat", {"messages": [{"role": "tool", "content": "1"}]},
         "'messages': a tool's message must follow a message with tool_calls. Send the conversation whole."),
        ("/api/chat", {"messages": [], "options": [1]}, "'options' must be an object, got [1]. Send an object."),
        ("/api/chat", {"messages": [], "format": "xml"},
         "'format' must be \"json\" or a JSON schema, got 'xml'. Send one of them."),
        ("/api/chat", {"messages": [], "tools": {}}, "'tools' must be a list, got {}. Send a list."),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_said(route: str, told: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        translated(route, json.dumps(told).encode())
    assert (caught.value.status, caught.value.message) == (400, message)


@pytest.mark.parametrize(
    "body", [b"[" + b"[]," * 60_000 + b"[]]", b'{"a":' * 60_000, b"{" + b'"a":1,' * 60_000 + b'"b":1}']
)
def test_a_body_of_very_many_values_is_not_even_parsed(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        translated("/api/chat", body)
    assert (caught.value.status, caught.value.code) == (413, "request_too_large")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"a":' * 40_000, b'{"n":' + b"1" * 10_000 + b"}"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        translated("/api/chat", body)
    assert caught.value.status == 400


def test_other_routes_are_the_engines_own() -> None:
    assert translated("/v1/chat/completions", b"{}") is None
