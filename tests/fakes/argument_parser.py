"""Runs in an engine environment: vLLM's own parser on files, one JSON document in and one out.

Input: a list of paths of configuration files. Output: for each path the parsed arguments, or the parser's last line
where it refuses the file.
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
    "trust_remote_code", "disable_uvicorn_access_log", "enable_request_id_headers",
)  # fmt: skip


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


def main() -> None:
    cli_args = importlib.import_module("vllm.entrypoints.launchers.cli_args")
    utilities = importlib.import_module("vllm.utils.argparse_utils")
    root = utilities.FlexibleArgumentParser()
    cli_args.make_arg_parser(root.add_subparsers(dest="subparser").add_parser("serve"))
    found = {path: parsed(root, cli_args, path) for path in json.load(sys.stdin)}
    print(json.dumps(found, default=str))


if __name__ == "__main__":
    main()
