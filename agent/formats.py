"""What else a repository of weights may be than a checkpoint that vLLM serves here, and what to take in its place."""

from collections.abc import Mapping, Sequence

CONFIG, ADAPTER = "config.json", "adapter_config.json"
ENDING = ".safetensors"
# The same weights in formats that vLLM does not need, what was trained with, and pictures for the hub's page.
WEIGHTS = (
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".npz", ".gguf", ".ggml", ".onnx", ".onnx_data", ".h5"),
    *(".msgpack", ".ot", ".tflite", ".mlmodel", ".nemo", ".engine", ".llamafile", ".litertlm", ".task"),
)
NOT_NEEDED = (*WEIGHTS, ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".mp4", ".wav", ".pdf", ".zip", ".gz")
SHOWN = 3


def another_kind(sizes: Mapping[str, int]) -> "str | None":
    """Say what a repository is that is none of what vLLM serves here, and what to take in its place."""
    root = sorted(path for path in sizes if "/" not in path)
    weights = [path for path in root if path.endswith(ENDING) and not path.startswith("adapter_")]
    if weights:
        return _without_config(root, weights)
    usual = "a repository with config.json and *.safetensors"
    endings = {
        (".gguf",): "GGUF alone, got {}. Take the repository that it was made from, or an AWQ or GPTQ of it",
        (".bin", ".pt", ".pth", ".ckpt"): "no *.safetensors, got {}. Take a commit or repository that has the same "
        "weights as safetensors",
    }
    if ADAPTER in root:
        return f"an adapter and no model, got {ADAPTER}. Take the model that it names as base_model_name_or_path."
    for ending, said in endings.items():
        if found := [path for path in root if path.endswith(ending)]:
            return f"{said.format(some(found))}."
    if below := sorted(path for path in sizes if path.endswith(ENDING)):
        return f"weights in folders alone, which vLLM does not read: {some(below)}. Take {usual} beside each other."
    return f"no *.safetensors, got {len(sizes)} other files. Take {usual}."


def _without_config(root: list[str], weights: list[str]) -> "str | None":
    if CONFIG in root:
        return None
    if all(path.startswith("consolidated") for path in weights):
        return (
            f"no {CONFIG}, got {some(weights)}, which is Mistral's own format. "
            f"Take a repository that has {CONFIG} and model*.safetensors as well."
        )
    return f"no {CONFIG}, got {some(weights)} without it. Take a repository that has it, or put it beside them."


def some(names: Sequence[str]) -> str:
    """Name the first few."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
