/// The numbers behind every exponential here. Scalar code with internal linkage: each unit compiles its own copy, so
/// that the linker never hands one ISA's copy to another's unit.
#pragma once

namespace axion {
namespace {

constexpr double kLn2 = 0.693147180559945309417;
constexpr double kLog2E = 1.442695040888963407360;

/// exp(lambda * x) = 2^n * P(r) with n = round(x * log2e), r = x - n * (ln2_hi + ln2_lo): lambda, a sign or a scale, is
/// folded into the constants and costs nothing. P(r) = 1 + r * (c[0] + r * (c[1] + ...)) for |lambda * r| <= ln2 / 2.
///
/// Minimax in relative error (linear programming on 4001 points): 9.2e-8, 0.77 ULP at the worst, before rounding.
struct ExpPolynomial {
  float log2e, ln2_hi, ln2_lo;
  float c[5];
};

/// The same for tables of 2^(j/64), SVE's FEXPA: n in 64ths, |lambda * r| <= ln2 / 128, minimax 6.6e-9.
struct ExpTable {
  float log2e, ln2_hi, ln2_lo;
  float c[2];
};

constexpr ExpPolynomial exp_polynomial(double lambda) {
  const double ln2 = kLn2 / lambda;
  const auto hi = static_cast<float>(ln2);
  const double l2 = lambda * lambda;
  return {static_cast<float>(kLog2E * lambda),
          hi,
          static_cast<float>(ln2 - static_cast<double>(hi)),
          {static_cast<float>(0.9999997063142362 * lambda), static_cast<float>(0.4999914784112557 * l2),
           static_cast<float>(0.16667638123874473 * l2 * lambda), static_cast<float>(0.04189815962559047 * l2 * l2),
           static_cast<float>(0.008290272338129116 * l2 * l2 * lambda)}};
}

constexpr ExpTable exp_table(double lambda) {
  const double ln2 = kLn2 / lambda;
  const auto hi = static_cast<float>(ln2);
  return {static_cast<float>(kLog2E * lambda),
          hi,
          static_cast<float>(ln2 - static_cast<double>(hi)),
          {static_cast<float>(1.0000036704000193 * lambda), static_cast<float>(0.5 * lambda * lambda)}};
}

/// Exponentials are computed 2^32 times too large or too small where the true value may be denormal or overflow, so
/// that nothing before the last multiplication leaves the range of normal floats.
constexpr int kExpShift = 32;
constexpr float kExpUnshift = 0x1p-32f;
/// The floor of a softmax's arguments: its exponential is below half the smallest denormal, which rounds to zero.
constexpr float kExpFloor = -105.0f;

/// act(g) = g / (1 + exp(-A(g))) with A(g) = g (silu) or 2 sqrt(2/pi) * g * (1 + 0.044715 g^2) (gelu). Gates are
/// clamped to where the result is neither zero (under 2^-150) nor g itself (to 24 bits).
constexpr float kSiluFloor = -109.5f;
constexpr float kSiluCeiling = 60.0f;
/// gelu's A(g) = lambda * g * (a + b g^2) with a and b of 17 and 14 bits in exactly the ratio 1 : 0.044715, so that
/// only roundings that the kernel can recover separate g * (a + b g^2) from its true value.
constexpr float kGeluLinear = 0x1.86ap0f;
constexpr float kGeluCubic = 0x1.1778p-4f;
constexpr double kGeluLambda = 1.59576912160573071176 / 0x1.86ap0;
constexpr float kGeluFloor = -10.8f;
constexpr float kGeluCeiling = 8.0f;

}  // namespace
}  // namespace axion
