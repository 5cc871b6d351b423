#include "../activation_rows.h"
#include "activation_row.h"
#include "exp_sve2.h"

namespace axion::sve2 {
namespace {

/// gate / (2^-32 + E) * 2^-32 + (from_below - gate), E = exp(-A) * 2^-32: the sigmoid without a division, of which V2
/// starts one in five cycles. A reciprocal estimate of 8 bits is cubed to 24 (error e of the estimate d*r = 1 - e:
/// 1/d = r * (1 + e + e^2)).
inline svfloat32_t divide(svbool_t p, svfloat32_t from_below, svfloat32_t gate, svfloat32_t shifted_exp) {
  const svfloat32_t d = svadd_x(p, shifted_exp, svdup_f32(kExpUnshift));
  const svfloat32_t r = svrecpe(d);
  svfloat32_t e = svmsb_x(p, d, r, svdup_f32(1.0f));
  e = svmad_x(p, e, e, e);
  const svfloat32_t inverse = svmad_x(p, e, r, r);
  return svmla_x(p, svsub_x(p, from_below, gate), svmul_x(p, gate, inverse), svdup_f32(kExpUnshift));
}

/// The same for bf16, 2^-14.6 relative: x is the exponent of two. 2^r is nearly proportional to r + 92/64 for the
/// remainder |r| <= 1/128 (2^-15.5), a sum that costs nothing, because it is the distance of x from a multiple of 1/64
/// as r is. One Newton step squares the estimate's 8 bits.
inline svfloat32_t divide_bf16(svbool_t p, svfloat32_t from_below, svfloat32_t gate, svfloat32_t x) {
  constexpr float kMagic = kExpMagic<-kExpShift>, kLine = 92.0f / 64.0f, kSlope = 0.69566190f;
  const svfloat32_t biased_n = svadd_x(p, x, svdup_f32(kMagic));
  const svfloat32_t line = svsub_x(p, x, svsub_x(p, biased_n, svdup_f32(kMagic + kLine)));
  const svfloat32_t one = svdup_f32(kExpUnshift / kSlope);
  const svfloat32_t d = svmad_x(p, svexpa(svreinterpret_u32(biased_n)), line, one);
  const svfloat32_t r = svrecpe(d);
  const svfloat32_t inverse = svmul_x(p, r, svrecps(d, r));
  return svmla_x(p, svsub_x(p, from_below, gate), svmul_x(p, gate, inverse), one);
}

template <bool kIsBf16>
struct Silu {
  svfloat32_t operator()(svbool_t p, svfloat32_t x) const {
    const svfloat32_t from_below = svmax_x(p, x, svdup_f32(kSiluFloor));
    const svfloat32_t gate = svmin_x(p, from_below, svdup_f32(kSiluCeiling));
    if constexpr (kIsBf16) {
      return divide_bf16(p, from_below, gate, svmul_x(p, gate, svdup_f32(static_cast<float>(-kLog2E))));
    } else {
      constexpr ExpTable k = exp_table(-1.0);
      return divide(p, from_below, gate, exp_shifted<-kExpShift>(p, k, gate));
    }
  }
};

/// In float the argument w = g * (a + b g^2) is carried as w + w_lo: at w = -100 its rounding alone would be 100 ULP
/// of the exponential. a and b are short, so that fma recovers the rounding of every step.
template <bool kIsBf16>
struct GeluTanh {
  svfloat32_t operator()(svbool_t p, svfloat32_t x) const {
    const svfloat32_t from_below = svmax_x(p, x, svdup_f32(kGeluFloor));
    const svfloat32_t g = svmin_x(p, from_below, svdup_f32(kGeluCeiling));
    const svfloat32_t g2 = svmul_x(p, g, g);
    if constexpr (kIsBf16) {
      constexpr double kExponent = -kLog2E * kGeluLambda;
      constexpr auto kLinear = static_cast<float>(kExponent * static_cast<double>(kGeluLinear));
      constexpr auto kCubic = static_cast<float>(kExponent * static_cast<double>(kGeluCubic));
      return divide_bf16(p, from_below, g,
                         svmul_x(p, g, svmad_x(p, g2, svdup_f32(kCubic), svdup_f32(kLinear))));
    } else {
      constexpr ExpTable k = exp_table(-kGeluLambda);
      const svfloat32_t a = svdup_f32(kGeluLinear), b = svdup_f32(kGeluCubic);
      const svfloat32_t s = svmla_x(p, a, g2, b);
      const svfloat32_t w = svmul_x(p, g, s);
      const svfloat32_t g2_lo = svnmsb_x(p, g, g, g2);
      const svfloat32_t s_lo = svmla_x(p, svmla_x(p, svsub_x(p, a, s), g2, b), g2_lo, b);
      const svfloat32_t w_lo = svmla_x(p, svnmsb_x(p, g, s, w), g, s_lo);
      return divide(p, from_below, g, exp_shifted<-kExpShift>(p, k, w, &w_lo));
    }
  }
};

}  // namespace

const ActivationKernels activation_kernels = {
    gated_rows<float, act_and_mul_row<Silu<false>, float>>,
    gated_rows<bf16, act_and_mul_row<Silu<true>, bf16>>,
    gated_rows<float, act_and_mul_row<GeluTanh<false>, float>>,
    gated_rows<bf16, act_and_mul_row<GeluTanh<true>, bf16>>,
};

}  // namespace axion::sve2
