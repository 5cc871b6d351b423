/// Softmax over contiguous rows, and the exponential loop inside it.
#pragma once

#include "axion/types.h"

namespace axion {

/// y[r, i] = exp(scale * (x[r, i] - m)) / sum_j exp(scale * (x[r, j] - m)), m the row's maximum.
///
/// x, y: `size` contiguous elements a row, rows x_stride and y_stride apart; x and y may be the same rows.
/// No alignment is required. 2^-60 <= scale <= 2^60.
/// -inf gives exactly zero; a row of nothing but -inf gives zeros; a NaN or +inf makes its whole row NaN.
/// Error before rounding to T: (8 + 2 |scale * (x - m)|) * 2^-24 relative (the argument's own roundings are that last
/// term) plus that of the sum, size * 2^-24 at most; below 2^-126 an ULP is 2^-149.
template <typename T>
struct Softmax {
  const T* x;
  T* y;
  std::size_t size;
  std::size_t x_stride;
  std::size_t y_stride;
  float scale;
};

/// Floats of scratch that softmax_bf16 needs for each concurrent call: a row before it is divided and rounded.
inline constexpr std::size_t softmax_bf16_scratch_size(std::size_t size) { return size; }

/// A softmax is a quotient of exponentials, so that all may be 2^32 times too large: the smallest, which are denormal
/// floats as they are, then keep all their bits until the division.
constexpr int kExpSumShift = 32;

/// One implementation of the family. The softmax functions compute the rows of a range.
struct SoftmaxKernels {
  void (*softmax_f32)(const Softmax<float>&, Range rows);
  void (*softmax_bf16)(const Softmax<bf16>&, Range rows, float* scratch);
  /// y[i] = 2^kExpSumShift * exp(x[i] - max); returns their sum. Each is within 4 ULP (sve2: 2), x[i] - max at most 60;
  /// below -105 it counts as -105, whose exponential is zero when unshifted. NaN gives NaN. x may be y.
  float (*shifted_exp_sum_f32)(const float* x, float* y, std::size_t size, float max);
};

namespace portable {
extern const SoftmaxKernels softmax_kernels;
}
#if defined(__aarch64__)
namespace neon {
extern const SoftmaxKernels softmax_kernels;
}
namespace sve2 {
extern const SoftmaxKernels softmax_kernels;
}
#endif

}  // namespace axion
