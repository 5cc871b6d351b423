"""How well a model does: a fixed text of our own to find likely, and questions that have one right answer."""

import json
import re
from pathlib import Path

from agent.bench_messages import QualityOrder, QualityResult, Question
from build.benchmark.document import Quality
from build.deploy.diff import Desired
from build.remote.executor import ask
from build.remote.host import Host
from deployment.render.release import KEYS_FILE

FILE = Path(__file__).with_name("quality.json")
ANSWER_TIMEOUT_S = 120.0


def material() -> tuple[tuple[str, ...], tuple[Question, ...]]:
    """The texts and the questions."""
    read = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(read["texts"]), tuple(Question(**each) for each in read["questions"])


def is_right(said: str, answer: str) -> bool:
    """Whether the first line that says anything has the answer as a word of its own."""
    first = next((line for line in said.splitlines() if line.strip()), "")
    return answer in re.findall(r"[a-z]+|[0-9]+", first.lower())


def judged(model: str, result: QualityResult) -> Quality:
    """Count what a model said."""
    texts, questions = material()
    pairs = list(zip(questions, result.answers, strict=True))
    wrong = [
        f"{question.ask} {question.answer}: {said[:60]!r}"
        for question, said in pairs
        if not is_right(said, question.answer)
    ]
    told = [(text, each) for text, each in zip(texts, result.logprobs, strict=True) if each]
    return Quality(
        model=model,
        nats=-sum(sum(each) for _, each in told),
        tokens=sum(len(each) for _, each in told),
        text_bytes=sum(len(text.encode()) for text, _ in told),
        right=len(pairs) - len(wrong),
        questions=len(pairs),
        wrong=tuple(wrong),
        problems=result.problems,
    )


def measure_quality(host: Host, desired: Desired, model: str) -> Quality:
    """Ask one model everything, from the host itself."""
    texts, questions = material()
    order = QualityOrder(
        gateway=desired.address,
        keys=KEYS_FILE if host.target.keys else None,
        model=model,
        texts=texts,
        questions=questions,
        timeout_s=ANSWER_TIMEOUT_S,
    )
    command = host.target.agent.command(
        "bench-quality",
        what=f"ask {model} for likelihoods and answers",
        stdin=order.to_json().encode(),
        timeout_s=ANSWER_TIMEOUT_S * (len(texts) + len(questions)),
    )
    return judged(model, ask(host.executor, command, QualityResult))
