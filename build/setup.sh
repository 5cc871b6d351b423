#!/usr/bin/env bash
# Make the operator's virtual environment. What engines need of the system comes with what serves here: `make demo`, a
# deployment; whoever only works with hosts elsewhere needs none of it.
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
            echo "system packages: missing, and no right to install them. Run: sudo apt-get install $*" >&2
            exit 1
        fi
        sudo=(sudo -n)
    fi
    echo "Installing system packages: $*"
    local said tries=60
    # A machine that has just booted reads the lists itself, and apt-get does not wait for that.
    until said=$("${sudo[@]}" apt-get update -qq 2>&1); do
        case $said in *lists/lock*) ((tries--)) || tries=0 ;; *) tries=0 ;; esac
        if ((tries == 0)); then
            echo "$said" >&2
            exit 1
        fi
        sleep 5
    done
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null
}

python=$(bash build/python.sh)
missing=()
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    missing+=("$("$python" -c 'import sys; print(f"python3.{sys.version_info.minor}-venv")')")
if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
fi

proxy=${https_proxy:-${HTTPS_PROXY:-${all_proxy:-${ALL_PROXY:-}}}}
case $proxy in
socks*)
    echo "proxy: pip cannot download through SOCKS, got ${proxy%%:*}. Give an HTTP proxy in HTTPS_PROXY, or unset it." >&2
    exit 1
    ;;
esac
# pip unpacks beside what it installs: a /tmp may be small.
mkdir -p out/tmp
export TMPDIR=$PWD/out/tmp
needed_mb=1100 needed_inodes=34000 # 690 MB in 28,200 files, and what pip needs for a moment (measured on x86-64)
if ! "$venv/bin/python" -c '' 2>/dev/null; then
    free_mb=$(df --output=avail -BM . | tail -n 1 | tr -dc 0-9)
    free_inodes=$(df --output=iavail,itotal . | awk 'END { print $2 == 0 || $1 == "-" ? 10000000 : $1 }')
    if ((free_mb < needed_mb || free_inodes < needed_inodes)); then
        echo "$PWD: too little free disk, got $free_mb MB and $free_inodes inodes where $needed_mb MB and" \
            "$needed_inodes inodes (one for each file) are needed. Make room there." >&2
        exit 1
    fi
fi

echo "Making the operator's environment in $venv with $("$python" --version): 700 MB, silent for minutes the first time"
if ! "$venv/bin/python" -c '' 2>/dev/null; then # none yet, or one whose interpreter is gone
    rm -rf "$venv"
fi
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "pip>=25.1" # the first that reads --group
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --group dev --constraint constraints.txt
