/// RMSNorm, stand-alone and fused with the residual addition before it.
#pragma once

#include "axion/types.h"

namespace axion {

/// y[r, i] = x[r, i] / sqrt(mean_j(x[r, j]^2) + eps) * w[i], with w[i] replaced by 1 + w[i] when unit_offset (Gemma).
///
/// x, y: `size` contiguous elements a row, rows `x_stride` and `y_stride` elements apart; w: `size` elements.
/// No alignment is required; x and y may be the same rows. Computed in float, rounded to T once at the end.
/// NaN anywhere in a row makes the whole row NaN, infinity makes it NaN and zero; a row of zeros gives zeros.
/// Error before the last rounding: at most 4 ULP plus that of the mean of squares, size * 2^-24 relative.
template <typename T>
struct RmsNorm {
  const T* x;
  const T* weight;
  T* y;
  std::size_t size;
  std::size_t x_stride;
  std::size_t y_stride;
  float eps;
  bool unit_offset;
};

/// sum = x + residual rounded to T, written to residual_out; y = rms_norm(sum), computed from that rounded sum, so
/// that it equals the unfused sequence. Same rules as RmsNorm; every pointer has the same stride.
template <typename T>
struct FusedAddRmsNorm {
  const T* x;
  const T* residual;
  const T* weight;
  T* y;
  T* residual_out;
  std::size_t size;
  std::size_t stride;
  float eps;
  bool unit_offset;
};

/// One implementation of the family. Each function computes the rows of `range`; rows are independent.
struct NormKernels {
  void (*rms_norm_f32)(const RmsNorm<float>&, Range rows);
  void (*rms_norm_bf16)(const RmsNorm<bf16>&, Range rows);
  void (*fused_add_rms_norm_f32)(const FusedAddRmsNorm<float>&, Range rows);
  void (*fused_add_rms_norm_bf16)(const FusedAddRmsNorm<bf16>&, Range rows);
};

namespace portable {
extern const NormKernels norm_kernels;
}
#if defined(__aarch64__)
namespace neon {
extern const NormKernels norm_kernels;
}
namespace sve2 {
extern const NormKernels norm_kernels;
}
#endif

}  // namespace axion
