#include "../activation_rows.h"
#include "activation_bf16.h"
#include "activation_row.h"
#include "exp_neon.h"

namespace axion::neon {
namespace {

/// gate / (2^-32 + E) * 2^-32 + (from_below - gate), E = exp(-A) * 2^-32: the sigmoid without a division, of which V2
/// starts one in five cycles. A reciprocal estimate of 8 bits is cubed to 24 (error e of the estimate d*r = 1 - e:
/// 1/d = r * (1 + e + e^2)).
inline float32x4_t divide(float32x4_t from_below, float32x4_t gate, float32x4_t shifted_exp) {
  const float32x4_t d = vaddq_f32(shifted_exp, vdupq_n_f32(kExpUnshift));
  const float32x4_t r = vrecpeq_f32(d);
  const float32x4_t e = vfmsq_f32(vdupq_n_f32(1.0f), d, r);
  const float32x4_t inverse = vfmaq_f32(r, r, vfmaq_f32(e, e, e));
  return vfmaq_n_f32(vsubq_f32(from_below, gate), vmulq_f32(gate, inverse), kExpUnshift);
}

struct Silu {
  Exp k{exp_polynomial(-1.0)};

  float32x4_t operator()(float32x4_t x) const {
    const float32x4_t from_below = vmaxq_f32(x, vdupq_n_f32(kSiluFloor));
    const float32x4_t gate = vminq_f32(from_below, vdupq_n_f32(kSiluCeiling));
    return divide(from_below, gate, k.shifted<-kExpShift>(gate));
  }
};

/// The argument w = g * (a + b g^2) is carried as w + w_lo: at w = -100 its rounding alone would be 100 ULP
/// of the exponential. a and b are short, so that fma recovers the rounding of every step.
struct GeluTanh {
  Exp k{exp_polynomial(-kGeluLambda)};

  float32x4_t operator()(float32x4_t x) const {
    const float32x4_t from_below = vmaxq_f32(x, vdupq_n_f32(kGeluFloor));
    const float32x4_t g = vminq_f32(from_below, vdupq_n_f32(kGeluCeiling));
    const float32x4_t a = vdupq_n_f32(kGeluLinear), b = vdupq_n_f32(kGeluCubic);
    const float32x4_t g2 = vmulq_f32(g, g);
    const float32x4_t p = vfmaq_f32(a, g2, b);
    const float32x4_t w = vmulq_f32(g, p);
    const float32x4_t g2_lo = vfmaq_f32(vnegq_f32(g2), g, g);
    const float32x4_t p_lo = vfmaq_f32(vfmaq_f32(vsubq_f32(a, p), g2, b), g2_lo, b);
    const float32x4_t w_lo = vfmaq_f32(vfmaq_f32(vnegq_f32(w), g, p), g, p_lo);
    return divide(from_below, g, k.shifted<-kExpShift, true>(w, w_lo));
  }
};

}  // namespace

const ActivationKernels activation_kernels = {
    gated_rows<float, act_and_mul_row<Silu, float>>,
    gated_rows<bf16, act_and_mul_row<ActBf16<false>, bf16>>,
    gated_rows<float, act_and_mul_row<GeluTanh, float>>,
    gated_rows<bf16, act_and_mul_row<ActBf16<true>, bf16>>,
};

}  // namespace axion::neon
