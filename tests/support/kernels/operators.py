"""Run the checks of the operators axion::* in the engine environment.

    python -m tests.support.kernels.operators RESULTS.json

A check is a function of one of MODULES whose name begins with `check_`; RESULTS maps its name to "", or to
what was wrong.
"""

import importlib
import json
import sys
import traceback
from pathlib import Path

import torch
from axion_kernels import operators

# vLLM, which `hooks` imports, brings a second OpenMP: `contract` counts them before.
MODULES = ("numerics", "gated", "contract", "hooks", "speculation", "penalties")


def main() -> None:
    operators.load()
    torch.set_num_threads(2)
    results = {}
    for module in MODULES:
        for name, check in vars(importlib.import_module(f"tests.support.kernels.{module}")).items():
            if not name.startswith("check_"):
                continue
            try:
                check()
                results[name] = ""
            except Exception as error:  # one wrong check must not hide the others
                results[name] = "".join(traceback.format_exception(error))
    Path(sys.argv[1]).write_text(json.dumps({"isa": operators.isa(), "checks": results}))


if __name__ == "__main__":
    main()
