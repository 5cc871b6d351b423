"""The first question to a fresh deployment, asked with the client library that users have."""

from openai import OpenAI, OpenAIError

from build.errors import DeployError
from build.progress import Reporter

ANSWER_TIMEOUT_S = 120.0


def ask(reporter: Reporter, base_url: str, question: str, *, model: str = "smollm2") -> None:
    """List the models, ask one a question, and print the answer as it streams. Raises DeployError without one."""
    console = reporter.console
    client = OpenAI(base_url=base_url, api_key="none", timeout=ANSWER_TIMEOUT_S, max_retries=0)
    try:
        served = [each.id for each in client.models.list()]
        reporter.say(f"\n/v1/models: {', '.join(served)}")
        reporter.say(f"Question to {model}: {question}")
        stream = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=32, stream=True
        )
        console.print("Answer: ", end="")
        for chunk in stream:
            console.print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", markup=False)
        console.print()
    except OpenAIError as error:
        raise DeployError(f"{base_url}: no answer, got {error}. Read `fab logs {model}`.") from None
