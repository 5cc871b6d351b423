/// exp by FEXPA, a table of 2^(j/64) in one instruction, which leaves a remainder so small that a quadratic is
/// enough for 1.1 ULP. Any vector length.
#pragma once

#include "../exp_constants.h"
#include "axion/types.h"
#include "vec_sve2.h"

namespace axion::sve2 {
namespace {

/// 1.5 * 2^17 plus the exponent's bias and a shift: added to n, a multiple of 1/64, it leaves the exponent in bits 6 to
/// 13 and the table's index in bits 0 to 5 of the float, as FEXPA reads them.
template <int kShift>
constexpr float kExpMagic = 0x1.8p17f + 127.0f + kShift;

/// exp(lambda * x) * 2^kShift, k = exp_table(lambda); the argument is exact or followed by a correction (x + x_lo).
/// lambda * x / ln 2 + kShift must lie in [-126, 127]. NaN gives NaN. 1.1 ULP.
template <int kShift>
inline svfloat32_t exp_shifted(svbool_t p, const ExpTable& k, svfloat32_t x, const svfloat32_t* x_lo = nullptr) {
  const svfloat32_t magic = svdup_f32(kExpMagic<kShift>);
  const svfloat32_t biased_n = svmla_x(p, magic, x, svdup_f32(k.log2e));
  const svfloat32_t n = svsub_x(p, biased_n, magic);
  const svfloat32_t power = svexpa(svreinterpret_u32(biased_n));
  svfloat32_t r = svmls_x(p, svmls_x(p, x, n, svdup_f32(k.ln2_hi)), n, svdup_f32(k.ln2_lo));
  if (x_lo != nullptr) {
    r = svadd_x(p, r, *x_lo);
  }
  const svfloat32_t product = svmul_x(p, power, r);  // first, so that the next step may overwrite r: a move less
  r = svmad_x(p, r, svdup_f32(k.c[1]), svdup_f32(k.c[0]));
  return svmla_x(p, power, product, r);
}

/// Elements [i, i + svcntw()) that `p` selects, widened; others are zero.
inline svfloat32_t load(svbool_t p, const float* x) { return svld1(p, x); }
inline svfloat32_t load(svbool_t p, const bf16* x) {
  const svuint32_t bits = svld1uh_u32(p, reinterpret_cast<const std::uint16_t*>(x));
  return svreinterpret_f32(svlsl_x(p, bits, 16));
}
inline void store(svbool_t p, float* y, svfloat32_t v) { svst1(p, y, v); }
inline void store(svbool_t p, bf16* y, svfloat32_t v) {
  // BFCVT leaves its result in the lower half of each word, which a truncating store writes.
  svst1h(p, reinterpret_cast<std::uint16_t*>(y), svreinterpret_u32(svcvt_bf16_x(p, v)));
}

}  // namespace
}  // namespace axion::sve2
