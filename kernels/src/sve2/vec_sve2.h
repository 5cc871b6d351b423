/// What SVE2 units need of their compiler, and the even and odd elements of a vector of bf16, widened.
#pragma once

#if !defined(__ARM_FEATURE_SVE2) || !defined(__ARM_FEATURE_SVE_BF16)
#error "src/sve2 needs the flags of AXION_SVE2_FLAGS"
#endif

#include <arm_sve.h>

namespace axion::sve2 {
namespace {

template <typename Vector>
inline svfloat32_t even(Vector v) {
  return svreinterpret_f32(svlsl_x(svptrue_b32(), svreinterpret_u32(v), 16));
}
template <typename Vector>
inline svfloat32_t odd(Vector v) {
  return svreinterpret_f32(svand_x(svptrue_b32(), svreinterpret_u32(v), 0xffff0000u));
}

}  // namespace
}  // namespace axion::sve2
