/// exp of four floats: 2^n by the exponent field, the remainder by a polynomial of degree 5. No rounding or conversion
/// instruction, of which V2 issues one a cycle.
#pragma once

#include "../exp_constants.h"
#include "vec_neon.h"

namespace axion::neon {
namespace {

/// 1.5 * 2^23 plus the exponent's bias and a shift: added to n it leaves n + 127 + kShift in the low bits.
template <int kShift>
constexpr float kExpMagic = 0x1.8p23f + 127.0f + kShift;

/// Constants of exp(lambda * x), broadcast.
struct Exp {
  float32x4_t log2e, ln2_hi, ln2_lo, c0, c1, c2, c3, c4;

  explicit Exp(const ExpPolynomial& k)
      : log2e(vdupq_n_f32(k.log2e)),
        ln2_hi(vdupq_n_f32(k.ln2_hi)),
        ln2_lo(vdupq_n_f32(k.ln2_lo)),
        c0(vdupq_n_f32(k.c[0])),
        c1(vdupq_n_f32(k.c[1])),
        c2(vdupq_n_f32(k.c[2])),
        c3(vdupq_n_f32(k.c[3])),
        c4(vdupq_n_f32(k.c[4])) {}

  /// exp(lambda * x) * 2^kShift, the argument exact or followed by a correction (lambda * (x + x_lo)).
  /// lambda * x / ln 2 + kShift must lie in [-126, 127]. NaN gives NaN.
  template <int kShift, bool kCorrected = false>
  float32x4_t shifted(float32x4_t x, float32x4_t x_lo = vdupq_n_f32(0.0f)) const {
    const float32x4_t magic = vdupq_n_f32(kExpMagic<kShift>);
    const float32x4_t biased_n = vfmaq_f32(magic, x, log2e);
    const float32x4_t n = vsubq_f32(biased_n, magic);
    const float32x4_t power = vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(biased_n), 23));
    float32x4_t r = vfmsq_f32(vfmsq_f32(x, n, ln2_hi), n, ln2_lo);
    if constexpr (kCorrected) {
      r = vaddq_f32(r, x_lo);
    }
    // Not Horner: FMLA overwrites its addend, so that every step with a constant one costs a move as well.
    const float32x4_t r2 = vmulq_f32(r, r);
    const float32x4_t high = vfmaq_f32(vfmaq_f32(c2, r, c3), r2, c4);
    const float32x4_t p = vfmaq_f32(vfmaq_f32(c0, r, c1), r2, high);
    return vfmaq_f32(power, vmulq_f32(power, r), p);
  }
};

}  // namespace
}  // namespace axion::neon
