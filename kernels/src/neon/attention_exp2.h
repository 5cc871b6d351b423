/// Private to the neon attention unit (and its test): the exponential whose results are rounded to bf16.
#pragma once

#if !defined(__ARM_NEON)
#error "built with NEON"
#endif

#include <arm_neon.h>

namespace axion {
namespace {

/// 2^x = 2^n p(x - n), p of degree 3: 7.5e-5 off at most, a fiftieth of what rounding to bf16 adds. The shift leaves
/// n + 127 in the low bits, so that 2^n is the bits shifted into the exponent, and n = -127 (x <= -126.5) gives zero.
struct PolynomialExp2 {
  float32x4_t operator()(float32x4_t x) const {
    const float32x4_t shift = vdupq_n_f32(0x1.8p+23f + 127.0f);
    const float32x4_t clamped = vmaxq_f32(x, vdupq_n_f32(-127.0f));  // FMAX: NaN stays NaN
    const float32x4_t shifted = vaddq_f32(clamped, shift);
    const float32x4_t f = vsubq_f32(clamped, vsubq_f32(shifted, shift));
    // Least largest |p / 2^f - 1| on [-1/2, 1/2], by iterated weighted least squares.
    float32x4_t poly = vfmaq_f32(vdupq_n_f32(0.24261112f), f, vdupq_n_f32(0.05517162f));
    poly = vfmaq_f32(vdupq_n_f32(0.69326099f), poly, f);
    poly = vfmaq_f32(vdupq_n_f32(0.99992807f), poly, f);
    return vmulq_f32(poly, vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(shifted), 23)));
  }
};

}  // namespace
}  // namespace axion
