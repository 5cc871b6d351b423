// Prints which table this process uses. AXION_ISA is read once, so the script that tests it needs a process of its own.
#include <cstdio>

#include "axion/dispatch.h"

int main() { return std::puts(axion::kernels().isa) < 0; }
