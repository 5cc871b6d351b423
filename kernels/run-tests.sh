#!/usr/bin/env bash
# Build and run the kernels' tests: natively, under the sanitizers, and cross-compiled for Neoverse V2 under qemu.
#
#   run-tests.sh [native] [asan] [axion]     all three when none is named; on Arm the first two, which run its own tables
#
# qemu proves correctness and says nothing about speed. `make kernels-cpp` and `make test-kernels` bring what it needs.
set -euo pipefail
cd "$(dirname "$0")"

out=../out/kernels
v2=(qemu-aarch64 -cpu "max,sve128=on,sve256=off,sve512=off") # Neoverse V2's vector length
no_sve=(qemu-aarch64 -cpu "max,sve=off")
no_bf16=(qemu-aarch64 -cpu neoverse-n1) # no BF16 and no I8MM: must be served by the portable table

presets="native asan axion"
table=$(bash best-table.sh "$(uname -m)" /proc/cpuinfo)
if [ "$(uname -m)" = aarch64 ]; then
    presets="native asan"
    export CXX=${CXX:-clang++-19} # the compiler of the figures; Debian 12's gcc would leave the SVE2 table out
fi

build() {
    cmake --preset "$1" >/dev/null
    cmake --build "$out/$1" --target axion_tests isa_override -- -k 1 | tail -n 1
}

expect_refusal() { # COMMAND...: AXION_ISA names a table that this CPU lacks
    local said status=0
    said=$("$@" 2>&1) || status=$?
    if [ "$status" != 1 ] || [[ $said != "AXION_ISA: not available on this CPU, got "* ]]; then
        echo "dispatch: not refused as it should be, got status $status: $said. Look at src/dispatch.cpp." >&2
        exit 1
    fi
    echo "refused: $said"
}

run_native() {
    build native
    echo "tested on $(uname -m): up to the table $table"
    AXION_EXPECTED_ISA=$table "$out/native/axion_tests" --gtest_brief=1
    case $table in
    portable) AXION_ISA=neon expect_refusal "$out/native/isa_override" ;;
    neon) AXION_ISA=sve2 expect_refusal "$out/native/isa_override" ;;
    sve2) AXION_ISA=avx512 expect_refusal "$out/native/isa_override" ;;
    esac
}

run_asan() {
    build asan
    "$out/asan/axion_tests" --gtest_brief=1
}

run_axion() {
    build axion
    AXION_EXPECTED_ISA=sve2 "${v2[@]}" "$out/axion/axion_tests" --gtest_brief=1
    AXION_EXPECTED_ISA=neon "${no_sve[@]}" "$out/axion/axion_tests" --gtest_brief=1 --gtest_filter='Dispatch*'
    AXION_EXPECTED_ISA=portable "${no_bf16[@]}" "$out/axion/axion_tests" --gtest_brief=1 --gtest_filter='Dispatch*'
    AXION_ISA=neon expect_refusal "${no_bf16[@]}" "$out/axion/isa_override"
    AXION_ISA=sve2 expect_refusal "${no_sve[@]}" "$out/axion/isa_override"
}

for preset in "${@:-$presets}"; do
    for one in $preset; do
        echo "== kernels, $one"
        "run_$one"
    done
done
