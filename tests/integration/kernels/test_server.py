"""The plug-in under `vllm serve`, as deployed: what /metrics shows of the worker, and how a failure to load sounds."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernels

HERE = Path(__file__).parents[2] / "support" / "kernels"
READY_S = 600  # one minute on a quiet machine


@pytest.fixture(scope="module")
def model(engine_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    command = [engine_python, "-P", str(HERE / "checkpoints.py"), str(directory)]
    subprocess.run(command, capture_output=True, timeout=READY_S, check=True)
    return directory / "qwen2-awq" / "int4"


def command(engine_python: str, model: Path, port: int) -> list[str]:
    options = ["--dtype", "bfloat16", "--max-model-len", "128", "--enforce-eager", "--kv-cache-memory-bytes", "64M"]
    vllm = str(Path(engine_python).with_name("vllm"))
    return [vllm, "serve", str(model), "--host", "127.0.0.1", "--port", str(port), *options]


def environment(site: Path, **more: str) -> dict[str, str]:
    quiet = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return {**os.environ, **quiet, "PYTHONPATH": str(site), **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def log_and_metrics(
    engine_python: str, kernels_site: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command(engine_python, model, port),
            env=environment(kernels_site, AXION_KERNELS="linear_w4,sampler,rms_norm"),
            cwd=log.parent, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        metrics = when_ready(server, port, log)
        yield log.read_text(), metrics
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def when_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> str:
    """The metrics, as soon as there are any: the front end listens once the engine is up."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-4000:]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        except OSError:
            time.sleep(0.5)
        finally:
            connection.close()
    raise AssertionError(log.read_text()[-4000:])


def test_metrics_tell_what_the_worker_runs(log_and_metrics: tuple[str, str]) -> None:
    ours = {line for line in log_and_metrics[1].splitlines() if line.startswith("axion_kernels")}
    enabled = {line.partition('kernel="')[2].partition('"')[0] for line in ours if "_enabled" in line}
    assert enabled == {"linear_w4", "sampler", "rms_norm"}
    # Two blocks of four linear layers; two norms a block and the last.
    assert 'axion_kernels_layers{kernel="linear_w4"} 8.0' in ours
    assert 'axion_kernels_layers{kernel="rms_norm"} 5.0' in ours


def test_one_line_at_the_start_tells_what_is_on(log_and_metrics: tuple[str, str]) -> None:
    lines = [line for line in log_and_metrics[0].splitlines() if "axion_kernels: " in line]
    assert len(lines) == 1
    assert "axion_kernels: linear_w4, rms_norm, sampler on " in lines[0]


def test_vllm_chose_our_linear_kernel(log_and_metrics: tuple[str, str]) -> None:
    assert "Using AxionW4LinearKernel for mixed-precision linear" in log_and_metrics[0]


def test_a_failure_to_load_ends_the_engine(engine_python: str, kernels_site: Path, model: Path) -> None:
    done = subprocess.run(
        command(engine_python, model, free_port()), env=environment(kernels_site, AXION_KERNELS="linear_w5"),
        cwd=model, capture_output=True, text=True, timeout=READY_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "AXION_KERNELS: no such kernel, got linear_w5." in done.stderr


def test_a_library_for_another_torch_ends_the_engine(
    engine_python: str, kernels_site: Path, model: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "site"
    subprocess.run(["cp", "--recursive", str(kernels_site), str(copy)], check=True)
    (copy / "axion_kernels" / "build.json").write_text('{"torch": "1.13.0"}')
    done = subprocess.run(
        command(engine_python, model, free_port()), env=environment(copy),
        cwd=model, capture_output=True, text=True, timeout=READY_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "axion_kernels: torch: compiled against 1.13.0, got " in done.stderr
