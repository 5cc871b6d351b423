/// silu and gelu_tanh where bf16 is the result: 2^-13 relative before the last rounding, by shorter ways than float's.
#pragma once

#include "../exp_constants.h"
#include "vec_neon.h"

namespace axion::neon {
namespace {

/// Everything is computed 2^-11 too small, exponents too, so that their gates' exponentials up to 2^147 do not
/// overflow. A power of two costs nothing: it is part of the constants.
constexpr float kScale = 0x1p-11f;
/// Exponents of two. Above the ceiling the result is below 2^-140, a zero of bf16; at the floor it is the gate.
constexpr float kExponentCeiling = 147.0f;
constexpr float kExponentFloor = -36.0f;

/// v = factor * gate, v / (1 + 2^x): with 2^f = c * ((f + offset)^2 + square) / (b - f) for the remainder f of x, the
/// quotient of two sums is a quotient of polynomials, which an estimate of 8 bits and one Newton step divide to 16. c
/// is 1 / (2 * factor), which makes the factor disappear from the result.
/// Minimax in relative error over |f| <= 1/2: 2^-15.2 (silu, three coefficients), 2^-13.7 (gelu: its offset is whole).
struct Logistic {
  float factor, offset, square, b;
};
constexpr Logistic kSiluLogistic = {static_cast<float>(-kLog2E), 2.8999046f, 4.1209881f, 4.3426082f};
constexpr double kGeluExponent = -2.302208198144325;  // of two, for a small gate: -2 sqrt(2/pi) log2(e)
constexpr Logistic kGeluLogistic = {static_cast<float>(kGeluExponent / 1.5), 3.0f, 4.0898463f, 4.2640759f};

/// A constant that the compiler does not know: it would take a multiplication by a power of two apart into a shift and
/// an addition.
inline int32x4_t opaque(std::int32_t value) {
  int32x4_t v = vdupq_n_s32(value);
  __asm__("" : "+w"(v));
  return v;
}

template <bool kIsGelu>
struct ActBf16 {
  static constexpr Logistic kForm = kIsGelu ? kGeluLogistic : kSiluLogistic;
  static constexpr float kFactor = kForm.factor * kScale;
  /// Leaves n - 1 in the low bits of a sum, and rounds to a multiple of kScale.
  static constexpr float kMagic = (0x1.8p23f - 1.0f) * kScale;
  int32x4_t exponent_field = opaque(1 << 23);

  /// The scaled gate, not too negative.
  static float32x4_t scaled(float32x4_t gate) {
    constexpr float kCeiling = kIsGelu ? 10.5997f * -kFactor : kExponentCeiling * kScale;
    return vminq_f32(vmulq_n_f32(gate, kFactor), vdupq_n_f32(kCeiling));
  }

  /// The exponent of two, scaled; gelu's is v * (3 + 3 * 0.044715 gate^2) / 2, which is what FRSQRTS computes.
  static float32x4_t exponent(float32x4_t v) {
    if constexpr (kIsGelu) {
      constexpr float kCubic = -3.0f * 0.044715f / (kFactor * kFactor);
      v = vmaxq_f32(v, vdupq_n_f32(6.0f * kFactor));
      return vmulq_f32(v, vrsqrtsq_f32(vmulq_f32(v, v), vdupq_n_f32(kCubic)));
    } else {
      return vmaxq_f32(v, vdupq_n_f32(kExponentFloor * kScale));
    }
  }

  float32x4_t operator()(float32x4_t gate) const {
    const float32x4_t v = scaled(gate), x = exponent(v);
    const float32x4_t biased_n = vaddq_f32(x, vdupq_n_f32(kMagic));
    float32x4_t h;
    if constexpr (kIsGelu) {
      h = vsubq_f32(x, vsubq_f32(biased_n, vdupq_n_f32(kMagic + kForm.offset * kScale)));
    } else {
      h = vaddq_f32(vsubq_f32(x, vsubq_f32(biased_n, vdupq_n_f32(kMagic))), vdupq_n_f32(kForm.offset * kScale));
    }
    const float32x4_t q = vfmaq_f32(vdupq_n_f32(kForm.square * kScale * kScale), h, h);
    const float32x4_t minus_p = vsubq_f32(h, vdupq_n_f32((kForm.b + kForm.offset) * kScale));
    const float32x4_t q_power = vreinterpretq_f32_s32(
        vmlaq_s32(vreinterpretq_s32_f32(q), vreinterpretq_s32_f32(biased_n), exponent_field));
    const float32x4_t d = vfmaq_n_f32(q_power, minus_p, kFactor);
    const float32x4_t r = vrecpeq_f32(d);
    return vmulq_f32(vmulq_f32(vmulq_f32(r, minus_p), vrecpsq_f32(d, r)), v);
  }
};

}  // namespace
}  // namespace axion::neon
