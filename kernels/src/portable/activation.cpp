#include "../activation_rows.h"
#include "exp_portable.h"

namespace axion::portable {
namespace {

// The comparisons below are false for NaN, which thus stays.
inline float clamp_from_below(float x, float floor) { return x < floor ? floor : x; }
inline float clamp_from_above(float x, float ceiling) { return x > ceiling ? ceiling : x; }

/// gate / (1 + exp(-A)), given exp(-A) * 2^-32 of the clamped gate. Quotient and result have the range of the true
/// value: what the upper clamp took off is added back, which also turns +inf into +inf.
inline float divide(float gate_from_below, float gate, float shifted_exp) {
  return gate / (kExpUnshift + shifted_exp) * kExpUnshift + (gate_from_below - gate);
}

inline float silu(float x) {
  const float from_below = clamp_from_below(x, kSiluFloor);
  const float gate = clamp_from_above(from_below, kSiluCeiling);
  return divide(from_below, gate, exp_shifted<-kExpShift>(-gate));
}

inline float gelu_tanh(float x) {
  const float from_below = clamp_from_below(x, kGeluFloor);
  const float gate = clamp_from_above(from_below, kGeluCeiling);
  // In double: the rounding of a float argument of 100 is 100 ULP of its exponential.
  const double g = gate;
  constexpr double kLinear = kGeluLambda * static_cast<double>(kGeluLinear);
  constexpr double kCubic = kGeluLambda * static_cast<double>(kGeluCubic);
  const double argument = -g * (kLinear + kCubic * g * g);
  return divide(from_below, gate, exp_shifted<-kExpShift>(argument));
}

template <float (*kAct)(float), typename T>
void act_and_mul_row(const T* gate, const T* up, T* y, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    y[i] = from_float<T>(kAct(to_float(gate[i])) * to_float(up[i]));
  }
}

}  // namespace

const ActivationKernels activation_kernels = {
    gated_rows<float, act_and_mul_row<silu, float>>,
    gated_rows<bf16, act_and_mul_row<silu, bf16>>,
    gated_rows<float, act_and_mul_row<gelu_tanh, float>>,
    gated_rows<bf16, act_and_mul_row<gelu_tanh, bf16>>,
};

}  // namespace axion::portable
