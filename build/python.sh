#!/usr/bin/env bash
# Print the Python that everything here starts from: PYTHON's, else the first on PATH of a version that vLLM supports.
set -euo pipefail

for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
        command -v "$candidate"
        exit
    fi
done
echo "python3: version 3.11 to 3.14 is needed, got $(python3 --version 2>&1 || echo none)." \
    "Install one, or name it: make PYTHON=/path/to/python3.12 setup" >&2
exit 1
