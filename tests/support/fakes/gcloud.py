"""A stand-in for gcloud that answers from a file: each call is looked up by its words, and written down.

`answers.json` beside the program holds `[[expression, status, stdout, stderr], ...]`; the first whose expression is
found in the call's words wins. A call that none answers fails as a test should: loudly.
"""

import json
import re
import sys
from pathlib import Path


def main() -> int:
    """Answer one call."""
    folder = Path(sys.argv[0]).parent
    words = " ".join(sys.argv[1:])
    with (folder / "calls.txt").open("a", encoding="utf-8") as calls:
        calls.write(f"{words}\n")
    for expression, status, stdout, stderr in json.loads((folder / "answers.json").read_text(encoding="utf-8")):
        if re.search(expression, words):
            sys.stdout.write(stdout if isinstance(stdout, str) else json.dumps(stdout))
            sys.stderr.write(stderr)
            return int(status)
    sys.stderr.write(f"the stand-in has no answer for: {words}\n")
    return 70


if __name__ == "__main__":
    sys.exit(main())
