"""One call of one method, the registry of who answers which method, and Compute's long-running operations."""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.fakes.cloud.documents import Method
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.state import PREFIX, Pending, State, now, path_of

Json = dict[str, Any]


@dataclass(eq=False, kw_only=True)
class Call:
    """A request that Google's schema allows, and the state that it is about."""

    state: State
    method: Method
    parameters: dict[str, str]
    body: Json
    headers: dict[str, str] = field(default_factory=dict)
    """By lower-case name."""
    fails_at_end: ApiError | None = None
    """A planted fault: the operation is accepted and then ends with this."""

    @property
    def project(self) -> str:
        """The project in the path."""
        return self.parameters["project"]

    @property
    def scope(self) -> str:
        """`zones/Z`, `regions/R` or `global`."""
        for name in ("zone", "region"):
            if name in self.method.path.groupindex:
                return f"{name}s/{self.parameters[name]}"
        return "global"

    @property
    def parent(self) -> str:
        """What the resources of this call's scope have in front of their collection."""
        return f"projects/{self.project}/{self.scope}"

    def resolve(self, reference: str, scope: str = "") -> str:
        """The path of something that a body mentions by full or partial URL."""
        return path_of(reference, project=self.project, scope=scope)


Answer = Callable[[Call], Json]
ANSWERS: dict[str, Answer] = {}


def answers(*method_ids: str) -> Callable[[Answer], Answer]:
    """Make a function the answer to the given methods."""

    def register(answer: Answer) -> Answer:
        for method_id in method_ids:
            assert method_id not in ANSWERS, f"{method_id} has two answers"
            ANSWERS[method_id] = answer
        return answer

    return register


STANDARD = str.maketrans("-_", "+/")


def fingerprint(value: object) -> str:
    """Google's 8 bytes in base64 that change with what they stand for."""
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def same_bytes(one: str, other: str) -> bool:
    """Whether two fingerprints are the same bytes: clients may write base64's other alphabet, and gcloud does."""
    return one.translate(STANDARD) == other.translate(STANDARD)


def start_operation(
    call: Call,
    path: str,
    *,
    finish: Callable[[], object] = lambda: None,
    undo: Callable[[], None] = lambda: None,
    is_ready: Callable[[], bool] = lambda: True,
) -> Json:
    """Begin an operation on a resource; it ends once `is_ready`: `finish` runs then, `undo` when it ends badly."""
    state = call.state
    if any(state.operations[pending.path]["targetLink"] == PREFIX + path for pending in state.pending):
        raise ApiError(400, "resourceNotReady", f"The resource '{path}' is not ready")

    def end() -> None:
        try:
            if call.fails_at_end is not None:
                raise call.fails_at_end
            finish()
        except ApiError:
            undo()
            raise

    number, parent = state.number(), "/".join(path.split("/")[: 4 if "/global/" not in path else 3])
    scope = parent.split("/")
    operation_path = f"{parent}/operations/operation-{number}"
    operation = {
        "kind": "compute#operation",
        "id": number,
        "name": f"operation-{number}",
        "operationType": call.method.id.rpartition(".")[2],
        "targetLink": PREFIX + path,
        "targetId": state.resources.get(path, {}).get("id", number),
        "status": "RUNNING",
        "user": "someone@example.com",
        "progress": 0,
        "insertTime": now(),
        "startTime": now(),
        "selfLink": PREFIX + operation_path,
        **({scope[2].removesuffix("s"): PREFIX + parent} if len(scope) == 4 else {}),
    }
    state.operations[operation_path] = operation
    state.pending.append(Pending(operation_path, time.monotonic() + state.settings.operation_delay_s, end, is_ready))
    return dict(operation)
