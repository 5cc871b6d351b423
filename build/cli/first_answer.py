"""The first questions to a fresh deployment, one with pictures, asked with the client library that users have."""

import base64
import struct
import zlib

from openai import DefaultHttpxClient, OpenAI, OpenAIError

from agent.answer import is_printable
from build.errors import DeployError
from build.progress import Reporter

ANSWER_TIMEOUT_S = 120.0


def ask(reporter: Reporter, base_url: str, question: str, *, model: str = "smollm2") -> None:
    """List the models, ask one a question, and print the answer as it streams. Raises DeployError without one."""
    console, client = reporter.console, _client(base_url)
    try:
        served = [each.id for each in client.models.list()]
        reporter.say(f"\n/v1/models: {', '.join(served)}")
        reporter.say(f"Question to {model}: {question}")
        stream = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=32, stream=True
        )
        console.print("Answer: ", end="")
        answer = ""
        for chunk in stream:
            piece = chunk.choices[0].delta.content or "" if chunk.choices else ""
            console.print(piece, end="", markup=False)
            answer += piece
        console.print()
    except OpenAIError as error:
        raise DeployError(f"{base_url}: no answer: {error}. Read `fab logs {model}`.") from None
    if not is_printable(answer):
        raise DeployError(f"{model}: an answer that nobody can read, got {answer!r}. Run `fab verify`.")


def show_pictures(reporter: Reporter, base_url: str, *, model: str = "tiny_gemma3") -> None:
    """Show a model two pictures and print its answers. Raises DeployError where they do not differ."""
    reporter.say(f"Two pictures to {model}, whose weights are random: what it says means nothing, that it differs does")
    answers = {}
    try:
        for colour, pixel in {"red": (255, 0, 0), "white": (255, 255, 255)}.items():
            answers[colour] = ask_about(base_url, png(pixel), model=model)
            reporter.say(f"A {colour} one: {answers[colour].strip()}")
    except OpenAIError as error:
        raise DeployError(f"{base_url}: no answer to a picture: {error}. Read `fab logs {model}`.") from None
    if unreadable := [answer for answer in answers.values() if not is_printable(answer)]:
        raise DeployError(f"{model}: an answer that nobody can read, got {unreadable[0]!r}. Run `fab verify`.")
    if len(set(answers.values())) < len(answers):
        raise DeployError(f"{model}: two pictures, one answer, got {answers['red']!r}. Read `fab logs {model}`.")


def ask_about(base_url: str, picture: bytes, *, model: str) -> str:
    """Send a PNG and return what is said of it."""
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    told = _client(base_url).chat.completions.create(
        model=model,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": url}},
                    {"type": "text", "text": "What do you see?"},
                ],
            }
        ],
        temperature=0,
        max_tokens=12,
    )
    return told.choices[0].message.content or ""


def png(pixel: tuple[int, int, int], side: int = 56) -> bytes:
    """A square of one colour (RFC 2083: 8 bits a channel, RGB, each row begins with its filter)."""
    rows = (b"\0" + bytes(pixel) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(rows), b"IEND": b""}
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _client(base_url: str) -> OpenAI:
    # The gateway is this computer's own: a proxy of the environment cannot know it, and a SOCKS one ends the client.
    direct = DefaultHttpxClient(trust_env=False)
    return OpenAI(base_url=base_url, api_key="none", timeout=ANSWER_TIMEOUT_S, max_retries=0, http_client=direct)
