#!/usr/bin/env bash
# Make the operator's virtual environment, and install the system packages that engines need.
#
#   setup.sh DIRECTORY
#
# Idempotent. What cannot be installed without a password is named, and the run ends before anything is half done.
set -euo pipefail

venv=$1
cd "$(dirname "$0")/.."

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "python3: version 3.11 to 3.14 is needed, got $(python3 --version 2>&1 || echo none)." \
        "Install one, or name it: make PYTHON=/path/to/python3.12 setup" >&2
    exit 1
}

install_packages() {
    local sudo=()
    if ! command -v apt-get >/dev/null; then
        echo "system packages: these are missing, and this is not Debian or Ubuntu, got: $*. Install their equivalents." >&2
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "system packages: missing, got no right to install them. Run: sudo apt-get install $*" >&2
            exit 1
        fi
        sudo=(sudo -n)
    fi
    echo "Installing system packages: $*"
    "${sudo[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python=$(find_python)
missing=()
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
"$python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null || missing+=(libnuma1)
if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
fi

echo "Making the operator's environment in $venv with $("$python" --version)"
if ! "$venv/bin/python" -c '' 2>/dev/null; then # none yet, or one whose interpreter is gone
    rm -rf "$venv"
fi
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "pip>=25.1" # the first that reads --group
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --group dev --constraint constraints.txt
