#include "axion/activation.h"

#include "exp_sve2.h"

namespace axion::sve2 {
namespace {

/// gate / (2^-32 + E) * 2^-32 + (from_below - gate), E = exp(-A) * 2^-32: the sigmoid without a division, of which V2
/// starts one in five cycles. A reciprocal estimate of 8 bits is cubed to 24 (error e of the estimate d*r = 1 - e:
/// 1/d = r * (1 + e + e^2)), or squared to 16 where bf16 is the result.
template <bool kIsBf16>
inline svfloat32_t divide(svbool_t p, svfloat32_t from_below, svfloat32_t gate, svfloat32_t shifted_exp) {
  const svfloat32_t d = svadd_x(p, shifted_exp, svdup_f32(kExpUnshift));
  const svfloat32_t r = svrecpe(d);
  svfloat32_t e = svmsb_x(p, d, r, svdup_f32(1.0f));
  if constexpr (!kIsBf16) {
    e = svmad_x(p, e, e, e);
  }
  const svfloat32_t inverse = svmad_x(p, e, r, r);
  return svmla_x(p, svsub_x(p, from_below, gate), svmul_x(p, gate, inverse), svdup_f32(kExpUnshift));
}

template <bool kIsBf16>
struct Silu {
  svfloat32_t operator()(svbool_t p, svfloat32_t x) const {
    const svfloat32_t from_below = svmax_x(p, x, svdup_f32(kSiluFloor));
    const svfloat32_t gate = svmin_x(p, from_below, svdup_f32(kSiluCeiling));
    if constexpr (kIsBf16) {
      return divide<true>(p, from_below, gate, rough_exp_of_minus<-kExpShift>(p, gate));
    } else {
      constexpr ExpTable k = exp_table(-1.0);
      return divide<false>(p, from_below, gate, exp_shifted<-kExpShift>(p, k, gate));
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
      constexpr auto kLinear = static_cast<float>(kGeluLambda * static_cast<double>(kGeluLinear));
      constexpr auto kCubic = static_cast<float>(kGeluLambda * static_cast<double>(kGeluCubic));
      const svfloat32_t w = svmul_x(p, g, svmad_x(p, g2, svdup_f32(kCubic), svdup_f32(kLinear)));
      return divide<true>(p, from_below, g, rough_exp_of_minus<-kExpShift>(p, w));
    } else {
      constexpr ExpTable k = exp_table(-kGeluLambda);
      const svfloat32_t a = svdup_f32(kGeluLinear), b = svdup_f32(kGeluCubic);
      const svfloat32_t s = svmla_x(p, a, g2, b);
      const svfloat32_t w = svmul_x(p, g, s);
      const svfloat32_t g2_lo = svnmsb_x(p, g, g, g2);
      const svfloat32_t s_lo = svmla_x(p, svmla_x(p, svsub_x(p, a, s), g2, b), g2_lo, b);
      const svfloat32_t w_lo = svmla_x(p, svnmsb_x(p, g, s, w), g, s_lo);
      return divide<false>(p, from_below, g, exp_shifted<-kExpShift>(p, k, w, &w_lo));
    }
  }
};

/// One vector of T: of floats as it is; of bf16 twice as many elements, the even and the odd ones apart, which BFCVT
/// and BFCVTNT put back in order.
template <typename Act>
inline void block(svbool_t p, const float* gate, const float* up, float* y, const Act& act) {
  const svbool_t all = svptrue_b32();  // lanes that p leaves out hold zeros; unpredicated forms need no copies
  svst1(p, y, svmul_x(all, act(all, svld1(p, gate)), svld1(p, up)));
}

inline svfloat32_t even(svuint16_t v) {
  return svreinterpret_f32(svlsl_x(svptrue_b32(), svreinterpret_u32(v), 16));
}
inline svfloat32_t odd(svuint16_t v) {
  return svreinterpret_f32(svand_x(svptrue_b32(), svreinterpret_u32(v), 0xffff0000u));
}

template <typename Act>
inline void block(svbool_t p, const bf16* gate, const bf16* up, bf16* y, const Act& act) {
  const svbool_t all = svptrue_b32();
  const svuint16_t g = svld1(p, reinterpret_cast<const std::uint16_t*>(gate));
  const svuint16_t u = svld1(p, reinterpret_cast<const std::uint16_t*>(up));
  const svbfloat16_t low = svcvt_bf16_x(all, svmul_x(all, act(all, even(g)), even(u)));
  const svbfloat16_t both = svcvtnt_bf16_x(low, all, svmul_x(all, act(all, odd(g)), odd(u)));
  svst1(p, reinterpret_cast<std::uint16_t*>(y), svreinterpret_u16(both));
}

inline svbool_t first(std::size_t i, std::size_t size, const float*) { return svwhilelt_b32_u64(i, size); }
inline svbool_t first(std::size_t i, std::size_t size, const bf16*) { return svwhilelt_b16_u64(i, size); }

template <typename Act, typename T>
[[gnu::noinline]] void act_and_mul_row(const T* gate, const T* up, T* y, std::size_t size) {
  constexpr std::size_t kUnroll = 8 / sizeof(T);  // chains of two or four vectors of float, for the scheduler
  const Act act;
  const std::size_t step = svcntb() / sizeof(T);
  const svbool_t all = sizeof(T) == sizeof(float) ? svptrue_b32() : svptrue_b16();
  std::size_t i = 0;
  for (; i + kUnroll * step <= size; i += kUnroll * step) {
#pragma clang loop unroll(full)
    for (std::size_t j = 0; j < kUnroll; ++j) {
      block(all, gate + i + j * step, up + i + j * step, y + i + j * step, act);
    }
  }
  for (; i < size; i += step) {
    block(first(i, size, y), gate + i, up + i, y + i, act);
  }
}

template <typename Act, typename T>
void act_and_mul(const GatedActivation<T>& a, Range rows, Range columns) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    const T* gate = a.x + row * a.x_stride + columns.begin;
    act_and_mul_row<Act>(gate, gate + a.size, a.y + row * a.y_stride + columns.begin, columns.end - columns.begin);
  }
}

}  // namespace

const ActivationKernels activation_kernels = {
    act_and_mul<Silu<false>, float>,
    act_and_mul<Silu<true>, bf16>,
    act_and_mul<GeluTanh<false>, float>,
    act_and_mul<GeluTanh<true>, bf16>,
};

}  // namespace axion::sve2
