/// y = x * weight^T + bias with an int8 weight of one scale a row: for an opt-in quantized lm_head.
#pragma once

#include "axion/types.h"

namespace axion {

/// Quantize a weight of n rows (outputs) of k contiguous elements, rows `weight_stride` apart, and reorder it for the
/// same table's linear functions (another table's order differs). In float arithmetic, the same for every table:
///   scale[j] = max_p|weight[j, p]| / 127,  q[j, p] = weight[j, p] / scale[j] rounded to nearest, ties to even.
/// A row of zeros has scale 0 and gives zeros; a row with a NaN or an infinity gives NaN everywhere.
///
/// packed: packed_bytes(n, k) bytes, aligned to 64, holding the scales too. No alignment is required of the weight.
template <typename T>
struct PackW8 {
  const T* weight;
  void* packed;
  std::size_t n;
  std::size_t k;
  std::size_t weight_stride;
};

/// y[i, j] = scale[j] * sum_p x[i, p] * q[j, p] + bias[j], rounded to Out once at the end.
///
/// x: rows of k contiguous elements, `x_stride` apart; y: rows of n, `y_stride` apart; bias: n elements or nullptr.
/// None of them needs alignment, and y overlaps no input. scratch: this call's own, of scratch_bytes, aligned to 64.
/// Activations keep at least 15 bits: in groups of 128 they are 16-bit multiples of a power of two, which is exact for
/// a bf16 of at least 2^-6 of its group's largest; a group whose small members would lose too much gets 31 bits.
/// With w = scale * q and, over a group, W = max|w|, S = the sum of |x| below 1/7 of the largest |x|, X = that largest:
///   |error| <= sum over groups of max(2^-14 * W * S, 2^-29 * X * sum|w|) + (k + 10) * 2^-24 * (sum|x * w| + |bias|)
/// before the rounding to Out. A group whose X is below 2^-90 may count as zeros.
/// A row of x with a NaN or an infinity gives a row of y with no finite element; other rows are not affected.
/// An element of y has the same bits whatever the number of rows, its row, and the ranges the work is split into.
template <typename Out>
struct LinearW8 {
  const bf16* x;
  const void* packed;
  const bf16* bias;
  Out* y;
  void* scratch;
  std::size_t n;
  std::size_t k;
  std::size_t x_stride;
  std::size_t y_stride;
};

/// One implementation of the family; n and k are at least 1. A panel is `panel_columns` consecutive rows of the weight,
/// which are columns of y; the last one may be part empty. A call computes `rows` x `panels` of y.
struct LinearW8Kernels {
  std::size_t panel_columns;
  std::size_t row_grain;  ///< splits of the rows are fastest at multiples of this
  std::size_t (*packed_bytes)(std::size_t n, std::size_t k);
  /// Scratch that suffices for a call of at most `rows` rows; bounded, however many these are.
  std::size_t (*scratch_bytes)(std::size_t rows, std::size_t k);
  void (*pack_f32)(const PackW8<float>&, Range panels);
  void (*pack_bf16)(const PackW8<bf16>&, Range panels);
  void (*linear)(const LinearW8<bf16>&, Range rows, Range panels);
  void (*linear_f32)(const LinearW8<float>&, Range rows, Range panels);  ///< float results, as for logits
};

namespace portable {
extern const LinearW8Kernels linear_w8_kernels;
}
#if defined(__aarch64__)
namespace neon {
extern const LinearW8Kernels linear_w8_kernels;
}
#endif

}  // namespace axion
