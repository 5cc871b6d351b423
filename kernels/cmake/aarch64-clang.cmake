# Cross-compile for aarch64 Linux with clang 19 and the headers and libraries of Debian's gcc cross-compiler.
# Programs are static: one file that qemu-user runs without an arm64 system around it.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER clang-19)
set(CMAKE_CXX_COMPILER clang++-19)
set(CMAKE_C_COMPILER_TARGET aarch64-linux-gnu)
set(CMAKE_CXX_COMPILER_TARGET aarch64-linux-gnu)
set(CMAKE_STRIP aarch64-linux-gnu-strip)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-fuse-ld=lld-19 -static")
set(CMAKE_MODULE_LINKER_FLAGS_INIT "-fuse-ld=lld-19")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
# Neoverse V2's vector length.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-cpu;max,sve128=on,sve256=off,sve512=off)
