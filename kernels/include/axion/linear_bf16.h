/// y = x * weight^T + bias with bf16 operands and float accumulation; the weight is packed once, before.
#pragma once

#include "axion/types.h"

namespace axion {

/// Reorder a weight of n rows (outputs) of k contiguous elements, rows `weight_stride` apart, for the same table's
/// linear functions. The order is that table's own: what one table packed, another cannot read.
///
/// packed: packed_bytes(n, k) bytes, aligned to 64. Rows beyond n and elements beyond k are written as zeros there, so
/// that kernels need not know where the weight ends. No alignment is required of the weight.
struct PackBf16 {
  const bf16* weight;
  void* packed;
  std::size_t n;
  std::size_t k;
  std::size_t weight_stride;
};

/// y[i, j] = sum_p x[i, p] * weight[j, p] + bias[j], rounded to Out once at the end.
///
/// x: rows of k contiguous elements, `x_stride` apart; y: rows of n, `y_stride` apart; bias: n elements or nullptr.
/// None of them needs alignment, and y overlaps no input. scratch: this call's own, of scratch_bytes, aligned to 64.
/// The products are exact and summed in float: |error| <= (k + 10) * 2^-24 * (sum|x * weight| + |bias|) before the
/// rounding to Out. Denormal inputs and sums may count as zero (BFMMLA flushes them).
/// NaN and infinity follow IEEE arithmetic and stay within their row of x and column of the weight.
/// An element of y has the same bits whatever the number of rows, its row, and the ranges the work is split into.
template <typename Out>
struct LinearBf16 {
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
struct LinearBf16Kernels {
  std::size_t panel_columns;
  std::size_t panel_grain;  ///< splits of the panels are fastest at multiples of this, such as of M=1's tile
  std::size_t row_grain;    ///< likewise of the rows
  std::size_t (*packed_bytes)(std::size_t n, std::size_t k);
  /// Scratch that suffices for a call of at most `rows` rows and `panels` panels; bounded, whatever these are.
  std::size_t (*scratch_bytes)(std::size_t rows, std::size_t panels, std::size_t k);
  void (*pack)(const PackBf16&, Range panels);
  void (*linear)(const LinearBf16<bf16>&, Range rows, Range panels);
  void (*linear_f32)(const LinearBf16<float>&, Range rows, Range panels);  ///< float results, as for logits
};

namespace portable {
extern const LinearBf16Kernels linear_bf16_kernels;
}
#if defined(__aarch64__)
namespace neon {
extern const LinearBf16Kernels linear_bf16_kernels;
}
#endif

}  // namespace axion
