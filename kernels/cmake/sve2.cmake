# Sets AXION_SVE2_COMPILES: whether this compiler takes the SVE2 files. Clang 19 and GCC 14 do; GCC 12 and 13 lack the
# bridge between NEON and SVE, and leave SVE's BF16 out. Without the SVE2 table, dispatch chooses NEON's.
include(CheckCXXSourceCompiles)

string(JOIN " " CMAKE_REQUIRED_FLAGS ${AXION_SVE2_FLAGS})
check_cxx_source_compiles("
#include <arm_neon_sve_bridge.h>
#if !defined(__ARM_FEATURE_SVE2) || !defined(__ARM_FEATURE_SVE_BF16)
#error no BF16 in SVE
#endif
svfloat32_t widened(float32x4_t v) { return svset_neonq_f32(svundef_f32(), v); }
int main() { return 0; }
" AXION_SVE2_COMPILES)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT AXION_SVE2_COMPILES)
  message(WARNING "CMAKE_CXX_COMPILER: cannot compile SVE2, got ${CMAKE_CXX_COMPILER_ID} "
                  "${CMAKE_CXX_COMPILER_VERSION}. NEON will serve. For both use GCC >= 14 or Clang >= 19.")
endif()
