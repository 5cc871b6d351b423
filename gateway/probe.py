"""What a probe of an engine means for its state: the decision alone, without the probing."""

from dataclasses import dataclass
from enum import StrEnum

SILENT_PROBES = 3
"""An event loop busy with a huge prompt may miss a probe; three in a row is an engine in trouble."""
STALL_LASTS_S = 5.0
"""A stalled engine that moves again may stop again: one step is not believed at once."""
DRAIN_LASTS_S = 5.0
"""A draining engine still answers /health with 200, so that answer is not believed at once."""


class State(StrEnum):
    """What a served model's engine can be asked at present."""

    LOADING = "loading"
    READY = "ready"
    UNREACHABLE = "unreachable"
    DRAINING = "draining"
    STALLED = "stalled"


class ProbeResult(StrEnum):
    """What one probe saw."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    """It answered, but not with 200: the engine core is dead or not there yet."""
    SILENT = "silent"
    """It accepted, and no answer came."""
    REFUSED = "refused"
    ABSENT = "absent"
    """There is no socket."""
    REPLACED = "replaced"
    """Refused or unhealthy on a socket made after the engine was last ready: a new engine is on its way."""
    LEAVING = "leaving"
    """Healthy, and told to end: it finishes what it has."""
    STUCK = "stuck"
    """Healthy by its own word, and no step of what it was asked is done."""
    AWAITED = "awaited"
    """Not healthy after it was told to end: it is ending, or its successor is loading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """A state, and how many probes in a row went unanswered."""

    state: State = State.LOADING
    silent_probes: int = 0


BELIEVED_AFTER_S = {State.DRAINING: DRAIN_LASTS_S, State.STALLED: STALL_LASTS_S}
"""How long a state outlasts healthy answers."""


def next_state(present: EngineState, result: ProbeResult, *, lasted_s: float) -> EngineState:
    """Decide the state after a probe; `lasted_s` is how long the present one has lasted."""
    state = present.state
    if result is ProbeResult.LEAVING:
        return EngineState(state=State.DRAINING)
    if result is ProbeResult.AWAITED:
        return EngineState(state=State.LOADING)
    if result is ProbeResult.HEALTHY:
        believed = lasted_s >= BELIEVED_AFTER_S.get(state, 0.0)
        return EngineState(state=State.READY if believed else state)
    if result is ProbeResult.STUCK:
        return EngineState(state=state if state is State.DRAINING else State.STALLED)
    if result is ProbeResult.SILENT:
        silent = present.silent_probes + 1
        lost = state in (State.READY, State.STALLED) and silent >= SILENT_PROBES
        return EngineState(state=State.UNREACHABLE if lost else state, silent_probes=silent)
    if state is State.LOADING or result in (ProbeResult.ABSENT, ProbeResult.REPLACED):
        return EngineState(state=State.LOADING)
    if state is State.DRAINING:  # it announced its end, so this is the restart and not a failure
        return EngineState(state=State.LOADING if result is ProbeResult.REFUSED else State.DRAINING)
    return EngineState(state=State.UNREACHABLE)
