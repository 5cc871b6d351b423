"""Source trees in the place of the Arm Compute Library and oneDNN, for machines that have neither.

vLLM's CMake compiles the one while it configures, and takes the other as a part of itself. These answer to both, and
insist on what the real ones insist on: Arm, and for oneDNN the library that was compiled before. They have no headers
and no kernels: that vLLM, or the real oneDNN with the real library, compiles is nothing that they can show.
"""

from pathlib import Path

ACL = """\
cmake_minimum_required(VERSION 3.16)
project(acl_standin C CXX)
if(NOT CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64" OR NOT ARM_COMPUTE_ARCH STREQUAL "armv8.2-a")
  message(FATAL_ERROR "not for Arm, got ${CMAKE_SYSTEM_PROCESSOR}, ${ARM_COMPUTE_ARCH}")
endif()
file(WRITE ${CMAKE_BINARY_DIR}/acl.cpp "namespace arm_compute { int standin() { return 1; } }")
add_library(arm_compute STATIC ${CMAKE_BINARY_DIR}/acl.cpp)
"""
ONEDNN = """\
cmake_minimum_required(VERSION 3.16)
project(oneDNN C CXX)
find_library(ACL_LIBRARY arm_compute PATHS ENV ACL_ROOT_DIR PATH_SUFFIXES lib build REQUIRED)
if(NOT ONEDNN_AARCH64_USE_ACL OR NOT ONEDNN_LIBRARY_TYPE STREQUAL "STATIC")
  message(FATAL_ERROR "not for Arm, got ${ONEDNN_AARCH64_USE_ACL}, ${ONEDNN_LIBRARY_TYPE}")
endif()
message(STATUS "Arm Compute Library: ${ACL_LIBRARY}")
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/dnnl.cpp "namespace dnnl { int standin() { return 1; } }")
add_library(dnnl STATIC ${CMAKE_CURRENT_BINARY_DIR}/dnnl.cpp)
"""


def write_trees(sources: Path) -> None:
    """Put both where a source build has the real ones."""
    for name, text in (("acl", ACL), ("onednn", ONEDNN)):
        (sources / name).mkdir(parents=True)
        (sources / name / "CMakeLists.txt").write_text(text)
