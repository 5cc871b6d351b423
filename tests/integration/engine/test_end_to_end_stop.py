"""The end of a deployment: nothing of it is left, also when an engine is in the middle of loading."""

import socket

import openai
import pytest

from tests.support import processes
from tests.support.live_deployment import TINY, LiveDeployment

pytestmark = pytest.mark.engine


def test_openais_client_raises_when_an_engine_dies_under_its_stream(live: LiveDeployment) -> None:
    (victim,) = [process for process in live.processes_of(TINY) if process.command.startswith("VLLM::Worker")]
    with live.openai() as client:
        stream = client.completions.create(
            model=TINY, prompt="a", max_tokens=1000, stream=True, extra_body={"ignore_eos": True}
        )
        next(stream)
        processes.kill(victim)
        with pytest.raises(openai.APIError):
            list(stream)


def test_after_a_stop_nothing_is_left_and_the_port_is_free(live_deployment: LiveDeployment) -> None:
    live = live_deployment  # as it is: one engine has just been killed, or is loading again
    supervisord = int((live.root / "run" / "supervisord.pid").read_text())
    everything = processes.tree(supervisord)
    assert len(everything) >= 9, "the runner, the gateway, two launchers of two processes, a whole engine at least"

    live.fab("stop", timeout_s=90)

    assert [process for process in everything if process.is_alive] == []
    assert live.processes_left() == []
    with socket.create_server(("127.0.0.1", live.port)):
        pass
    assert "Nothing runs." in live.fab("stop")
