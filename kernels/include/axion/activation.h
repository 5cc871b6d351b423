/// The gated activations of the feed-forward block: SwiGLU (silu_and_mul) and GeGLU (gelu_tanh_and_mul).
#pragma once

#include "axion/types.h"

namespace axion {

/// y[r, i] = act(x[r, i]) * x[r, size + i] for i < size: the gate is the first half of a row, the factor the second.
///   silu(g) = g / (1 + exp(-g));  gelu_tanh(g) = g / (1 + exp(-2u)), u = sqrt(2/pi) * (g + 0.044715 g^3).
///
/// x: rows of 2 * size contiguous elements, x_stride apart; y: rows of `size`, y_stride apart, not overlapping x.
/// No alignment is required. Computed in float, rounded to T once at the end.
/// Error of act(g) before the multiplication, for every finite g: float 4 ULP, where below 2^-126 an ULP is 2^-149
/// (gelu too, whose exponent is carried in two floats for it). bf16 2^-13 relative, that is 1/32 of half an ULP, or
/// 2^-138, that is 1/32 of the smallest bf16: a bf16 result is worth no better exponential than that.
/// act(NaN) is NaN, act(+inf) is +inf, act(-inf) and act of a gate too negative for float are zero (a zero's sign is
/// unspecified; in bf16 not above 2^-138), so that -inf does not turn into NaN unless the factor is infinite.
template <typename T>
struct GatedActivation {
  const T* x;
  T* y;
  std::size_t size;
  std::size_t x_stride;
  std::size_t y_stride;
};

/// One implementation of the family. Each function computes the columns (of `size`) of the rows of a range: a decode
/// step has one row, and all cores share its columns. An element's bits do not depend on how either range was split.
struct ActivationKernels {
  void (*silu_and_mul_f32)(const GatedActivation<float>&, Range rows, Range columns);
  void (*silu_and_mul_bf16)(const GatedActivation<bf16>&, Range rows, Range columns);
  void (*gelu_tanh_and_mul_f32)(const GatedActivation<float>&, Range rows, Range columns);
  void (*gelu_tanh_and_mul_bf16)(const GatedActivation<bf16>&, Range rows, Range columns);
};

namespace portable {
extern const ActivationKernels activation_kernels;
}
#if defined(__aarch64__)
namespace neon {
extern const ActivationKernels activation_kernels;
}
namespace sve2 {
extern const ActivationKernels activation_kernels;
}
#endif

}  // namespace axion
