#!/usr/bin/env bash
# Make the operator's virtual environment, and install the system packages that engines need.
#
#   setup.sh DIRECTORY
#
# Idempotent. What cannot be installed without a password is named, and the run ends before anything is half done.
set -euo pipefail

venv=$1
cd "$(dirname "$0")/.."

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

python=$(bash build/python.sh)
missing=()
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    missing+=("$("$python" -c 'import sys; print(f"python3.{sys.version_info.minor}-venv")')")
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
