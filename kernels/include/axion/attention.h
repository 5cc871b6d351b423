/// Scaled dot-product attention with online softmax: causal or not, grouped queries, sliding window, soft cap.
#pragma once

#include "axion/types.h"

namespace axion {

/// A [batch, heads, length, head_dim] tensor: strides in elements, the last dimension contiguous. No alignment needed.
template <typename Pointer>
struct Heads {
  Pointer data;
  std::size_t batch_stride;
  std::size_t head_stride;
  std::size_t row_stride;
};

/// out[b, h, i] = sum_j p_j v[b, h / group, j], p = softmax_j(cap(scale * q[b, h, i] . k[b, h / group, j])) over the
/// positions j that row i sees, group = heads / kv_heads, cap(s) = softcap * tanh(s / softcap), or s when softcap is 0.
///
/// Row i sits at position P = kv_len - q_len + i. It sees j < kv_len; with causal only j <= P; with window > 0 only
/// j > P - window. A row that sees nothing gives zeros.
///
/// heads % kv_heads == 0; head_dim <= kMaxHeadDim; out does not overlap the inputs. Memory beyond the caller's worker
/// scratch: none, and that does not grow with the lengths.
/// float: computed in float. bf16: products of bf16, sums in float; p is rounded to bf16 before it meets v where the
/// ISA multiplies bf16 (neon, sve2), and the result once at the end.
/// With S = scale * sum_d |q_d k_d|, the largest over the row's positions, the error before the last rounding is at
/// most sum_j p_j |v_j| times
///   (2 (head_dim + 8) S + 4 softcap + 64) 2^-24 + (positions + 2) 2^-23, and + 2^-8 + 2^-12 if p is bf16.
/// NaN or infinity in a row of q, or in k or v where it is seen, makes results of that row NaN (or infinite); in v it
/// may do so for rows that do not see it but lie in the same tile. Huge finite logits are fine up to 2^125, and beyond
/// with a cap.
template <typename T>
struct Attention {
  Heads<const T*> q;
  Heads<const T*> k;
  Heads<const T*> v;
  Heads<T*> out;
  std::size_t batch;
  std::size_t heads;
  std::size_t kv_heads;
  std::size_t q_len;
  std::size_t kv_len;
  std::size_t head_dim;
  float scale;
  bool causal;
  std::size_t window;  ///< 0: none
  float softcap;       ///< 0: none
};

constexpr std::size_t kMaxHeadDim = 256;

/// Rows of one unit of work. The rows of all query heads that share a key-value head are taken together, so that keys
/// and values are read once for the group: row r of a key-value head is position r / group of query head r % group.
constexpr std::size_t kAttentionRows = 32;

/// Units of work: ceil(q_len * group / kAttentionRows) tiles for each batch element and key-value head, tiles fastest.
template <typename T>
std::size_t attention_units(const Attention<T>& a) {
  const std::size_t rows = a.q_len * (a.heads / a.kv_heads);
  return a.batch * a.kv_heads * ((rows + kAttentionRows - 1) / kAttentionRows);
}

/// What one call needs for itself, whatever its units: not shared between threads. Aligned to 64.
std::size_t attention_worker_bytes();

/// One implementation of the family. Each function computes the units of `units`; units are independent.
struct AttentionKernels {
  void (*attention_f32)(const Attention<float>&, Range units, void* worker);
  void (*attention_bf16)(const Attention<bf16>&, Range units, void* worker);
};

namespace portable {
extern const AttentionKernels attention_kernels;
}
#if defined(__aarch64__)
namespace neon {
extern const AttentionKernels attention_kernels;
}
namespace sve2 {
extern const AttentionKernels attention_kernels;
}
#endif

}  // namespace axion
