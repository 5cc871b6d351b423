"""Runs in an engine environment: vLLM's own parser on files, one JSON document in and one out.

Input: a list of paths of configuration files. Output: for each path the parsed arguments, or the parser's last line
where it refuses the file; and under "names" the parsers that vLLM has, and each spelling of each argument.
"""

import contextlib
import importlib
import io
import json
import sys
from typing import Any

FIELDS = (
    "model", "uds", "dtype", "quantization", "max_model_len", "max_num_seqs", "max_num_batched_tokens",
    "kv_cache_memory_bytes", "long_prefill_token_threshold", "enable_prefix_caching", "served_model_name",
    "enforce_eager", "generation_config", "limit_mm_per_prompt", "max_num_queued_reqs", "shutdown_timeout",
    "trust_remote_code", "disable_uvicorn_access_log", "enable_request_id_headers", "speculative_config",
    "enable_auto_tool_choice", "tool_call_parser", "reasoning_parser", "chat_template", "max_lora_rank", "max_loras",
    "enable_lora", "lora_modules", "seed", "hf_overrides", "cudagraph_capture_sizes",
    "max_logprobs",
)  # fmt: skip


def in_words(value: Any) -> Any:
    """An adapter as its name and directory, everything else as Python writes it."""
    return [value.name, value.path] if hasattr(value, "base_model_name") else str(value)


def parsed(root: Any, cli_args: Any, path: str) -> dict[str, Any] | str:
    """The arguments that `vllm serve --config PATH` would start with, or why it would not."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            namespace = root.parse_args(["serve", "--config", path])
            cli_args.validate_parsed_serve_args(namespace)
    except SystemExit:
        return said.getvalue().strip().rpartition("\n")[2]
    return {field: getattr(namespace, field) for field in FIELDS}


def names(serve: Any) -> dict[str, Any]:
    """What may be named in a configuration file."""
    tools = importlib.import_module("vllm.tool_parsers").ToolParserManager.list_registered()
    reasoning = importlib.import_module("vllm.reasoning").ReasoningParserManager.list_registered()
    spellings = {spelling: action.dest for action in serve._actions for spelling in action.option_strings}
    return {"tools": tools, "reasoning": reasoning, "spellings": spellings}


def main() -> None:
    cli_args = importlib.import_module("vllm.entrypoints.launchers.cli_args")
    utilities = importlib.import_module("vllm.utils.argparse_utils")
    root = utilities.FlexibleArgumentParser()
    serve = cli_args.make_arg_parser(root.add_subparsers(dest="subparser").add_parser("serve"))
    found = {path: parsed(root, cli_args, path) for path in json.load(sys.stdin)}
    print(json.dumps({**found, "names": names(serve)}, default=in_words))


if __name__ == "__main__":
    main()
