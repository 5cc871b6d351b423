/// exp in plain C++ that compilers vectorise: no calls, no branches, no fused multiply-add.
#pragma once

#include <cstdint>
#include <cstring>

#include "../exp_constants.h"

namespace axion::portable {
namespace {

/// 2^23 * 1.5 plus the exponent bias and a shift: added to n it leaves n + 127 + kShift in the low bits of the float.
template <int kShift>
constexpr float kExpMagic = 0x1.8p23f + 127.0f + kShift;

/// 2^kShift * 2^n * P(r): the last steps, from the rounded exponent and the remainder.
inline float exp_finish(float biased_n, float r) {
  constexpr ExpPolynomial k = exp_polynomial(1.0);
  std::uint32_t exponent;
  std::memcpy(&exponent, &biased_n, sizeof exponent);
  exponent <<= 23;
  float power;
  std::memcpy(&power, &exponent, sizeof power);
  const float p = k.c[0] + r * (k.c[1] + r * (k.c[2] + r * (k.c[3] + r * k.c[4])));
  return power + (power * r) * p;
}

/// exp(x) * 2^kShift. The result must be a normal float: (x / ln 2 + kShift) in [-126, 127]. NaN gives NaN.
template <int kShift>
inline float exp_shifted(float x) {
  constexpr float kLn2Hi = 0x1.62e4p-1f;  // 15 bits: its product with an 8-bit n is exact
  constexpr auto kLn2Lo = static_cast<float>(kLn2 - 0x1.62e4p-1);
  const float biased_n = x * static_cast<float>(kLog2E) + kExpMagic<kShift>;
  const float n = biased_n - kExpMagic<kShift>;
  return exp_finish(biased_n, (x - n * kLn2Hi) - n * kLn2Lo);
}

/// The same with the argument in double, for one that is itself the result of a computation.
template <int kShift>
inline float exp_shifted(double x) {
  const float biased_n = static_cast<float>(x * kLog2E) + kExpMagic<kShift>;
  const float n = biased_n - kExpMagic<kShift>;
  return exp_finish(biased_n, static_cast<float>(x - static_cast<double>(n) * kLn2));
}

}  // namespace
}  // namespace axion::portable
