"""Ask a model through the gateway how likely it finds texts, and questions that have one right answer."""

import json
import sys

from agent.bench_messages import QualityOrder, QualityResult
from agent.unix_http import TcpConnection, call
from agent.wait_ready import own_key

ANSWER_TOKENS = 24


def logprobs_of(body: bytes) -> tuple[float, ...]:
    """The logarithm of the likelihood of each token of a prompt but its first. Raises ValueError.

    vLLM lists for each place the likeliest tokens and the one that is there; asked for none of the former it lists the
    latter alone.
    """
    try:
        places = json.loads(body)["choices"][0]["prompt_logprobs"]
        return tuple(float(next(iter(place.values()))["logprob"]) for place in places if place)
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(f"no likelihoods: {error!r}") from None


def answer_of(body: bytes) -> str:
    """What a chat's answer says. Raises ValueError."""
    try:
        message = json.loads(body)["choices"][0]["message"]
        return (message.get("content") or "") + (message.get("reasoning") or "")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"no answer: {error!r}") from None


def ask(order: QualityOrder) -> QualityResult:
    """Ask everything, one after the other. What fails is a problem, and the rest is asked all the same."""
    key, problems = own_key(order.keys), []
    likely: list[tuple[float, ...]] = []
    answers: list[str] = []

    def post(path: str, **asked: object) -> bytes:
        body = {"model": order.model, "temperature": 0, **asked}
        status, said = call(TcpConnection(order.gateway, order.timeout_s), "POST", path, body, key)
        if status != 200:
            raise ValueError(f"{path}: {status}: {said[:200].decode(errors='replace')}")
        return said

    for text in order.texts:
        try:
            likely.append(logprobs_of(post("/v1/completions", prompt=text, max_tokens=1, prompt_logprobs=0)))
        except ValueError as error:
            problems.append(str(error))
            likely.append(())
    for question in order.questions:
        messages = [{"role": "user", "content": question.ask}]
        try:
            answers.append(answer_of(post("/v1/chat/completions", messages=messages, max_tokens=ANSWER_TOKENS)))
        except ValueError as error:
            problems.append(str(error))
            answers.append("")
    return QualityResult(tuple(likely), tuple(answers), tuple(problems))


def main() -> None:
    print(ask(QualityOrder.from_json(sys.stdin.read())).to_json())
