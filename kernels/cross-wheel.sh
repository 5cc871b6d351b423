#!/usr/bin/env bash
# Build the wheel axion_kernels for aarch64 Linux on another machine, with clang 19 and Debian's cross-compiler.
#
#   cross-wheel.sh TORCH OUT     TORCH: an unpacked torch package for aarch64, the folder with include/ and lib/
#
# The wheel goes to OUT; objects stay in ../out/kernels, so that a second build compiles only what changed.
set -euo pipefail
if [ "$#" != 2 ]; then
    echo "cross-wheel.sh: two folders, got $# arguments. Run: cross-wheel.sh TORCH OUT" >&2
    exit 2
fi
torch=$(realpath "$1") out=$(realpath --canonicalize-missing "$2")
cd "$(dirname "$0")"

bash packages.sh cmake ninja-build clang-19 lld-19 g++-12-aarch64-linux-gnu
export AXION_TORCH_DIR=$torch AXION_BUILD_DIR=$PWD/../out/kernels/wheel-build-aarch64
export CMAKE_ARGS="-G Ninja -DCMAKE_TOOLCHAIN_FILE=$PWD/cmake/aarch64-clang.cmake"
# ./ : the index has a package called kernels.
"${PYTHON:-python3}" -m pip --disable-pip-version-check wheel . --no-deps --wheel-dir "$out"
