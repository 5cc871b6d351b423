#!/usr/bin/env bash
# Print the table of kernels that dispatch must choose on a computer:  best-table.sh MACHINE CPUINFO
#
# From the words of /proc/cpuinfo, while src/dispatch.cpp reads the bits of HWCAP: one holds the other to account.
set -euo pipefail

features=" $(sed -n 's/^Features[[:space:]]*: *//p' "$2" | head -n 1) "
has() {
    local one
    for one in "$@"; do
        case $features in *" $one "*) ;; *) return 1 ;; esac
    done
}
if [ "$1" != aarch64 ] || ! has asimddp bf16 i8mm; then
    echo portable
elif has sve sve2 svebf16; then
    echo sve2
else
    echo neon
fi
