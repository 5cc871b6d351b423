"""Run the checks of the operators axion::* in the engine environment.

    python -m tests.kernels.operators RESULTS.json

A check is a function of `numerics` or `contract` whose name begins with `check_`; RESULTS maps its name to "", or to
what was wrong.
"""

import json
import sys
import traceback
from pathlib import Path

import torch
from axion_kernels import operators

from tests.kernels import contract, numerics


def main() -> None:
    operators.load()
    torch.set_num_threads(2)
    results = {}
    for name, check in {**vars(numerics), **vars(contract)}.items():
        if name.startswith("check_"):
            try:
                check()
                results[name] = ""
            except Exception as error:  # one wrong check must not hide the others
                results[name] = "".join(traceback.format_exception(error))
    Path(sys.argv[1]).write_text(json.dumps({"isa": operators.isa(), "checks": results}))


if __name__ == "__main__":
    main()
