/// Linear layers with 4-bit weights: y = x * w^T + bias, w[n, k] = (q[n, k] - zero[n, k/g]) * scale[n, k/g].
#pragma once

#include "axion/types.h"

namespace axion {

/// Output columns of a packed panel, the unit of work. The last panel is padded with columns of scale 0.
constexpr std::size_t kW4PanelColumns = 8;
/// Rows whose activations are prepared together.
constexpr std::size_t kW4RowBlock = 8;
/// Up to this many rows are computed from the packed weights as they are, a block in one pass over them. Unpacking the
/// weights first pays for more.
constexpr std::size_t kW4FewRows = 16;
/// k of a part of their preparation, a multiple of every group. More rows are prepared block by block.
constexpr std::size_t kW4PartK = 512;

constexpr std::size_t w4_row_blocks(std::size_t m) { return (m + kW4RowBlock - 1) / kW4RowBlock; }

/// Parts of the preparation of m rows of k.
constexpr std::size_t w4_parts(std::size_t m, std::size_t k) {
  return m > kW4FewRows ? w4_row_blocks(m) : (k + kW4PartK - 1) / kW4PartK;
}

/// The group that the packed weights hold: itself, or for a whole-K group the largest of 128, 64, 32 that divides k,
/// with the scale repeated. 0 where the pair is not supported.
/// Supported: k a multiple of 32, and group_size 32, 64 or 128 dividing k, or group_size == k.
constexpr std::size_t w4_group(std::size_t k, std::size_t group_size) {
  const bool plain = group_size == 32 || group_size == 64 || group_size == 128;
  if (k == 0 || k % 32 != 0 || group_size == 0 || k % group_size != 0 || (!plain && group_size != k)) {
    return 0;
  }
  return plain ? group_size : (k % 128 == 0 ? 128 : (k % 64 == 0 ? 64 : 32));
}

constexpr std::size_t w4_panels(std::size_t n) { return (n + kW4PanelColumns - 1) / kW4PanelColumns; }

/// Bytes of one packed group of a panel: a word per column, then the nibbles. The word is the scale's float with its
/// last four mantissa bits replaced by the zero point (0 when the scale is 0), rounded so that the float is nearest
/// to the scale: 2^-21 relative (denormal scales: 2^-146 absolute). It is used as it stands, as the scale.
/// Nibbles: for each 16 k, for each pair of columns, 16 bytes, the first 8 of them of the even column. Byte j holds
/// q[k + j] in its high and q[k + 8 + j] in its low nibble.
constexpr std::size_t w4_group_bytes(std::size_t group) { return kW4PanelColumns * (sizeof(float) + group / 2); }

constexpr std::size_t w4_panel_bytes(std::size_t k, std::size_t group) { return k / group * w4_group_bytes(group); }

/// Bytes of the packed weights, which every implementation reads and every number of rows shares.
constexpr std::size_t w4_packed_size(std::size_t n, std::size_t k, std::size_t group_size) {
  return w4_panels(n) * w4_panel_bytes(k, w4_group(k, group_size));
}

/// q: [n, k] values 0..15; scales and zeros: [n, k / group_size], contiguous; zeros may be null, all 8 then.
/// Scales are finite. packed: w4_packed_size bytes, 16-byte aligned.
struct PackW4 {
  const std::uint8_t* q;
  const float* scales;
  const std::uint8_t* zeros;
  std::uint8_t* packed;
  std::size_t n;
  std::size_t k;
  std::size_t group_size;
};

/// Pack the panels of `range`. Not speed-critical, hence one implementation.
void pack_w4(const PackW4&, Range panels);

/// x: [m, k], rows x_stride apart; y: [m, n], rows y_stride apart; bias: [n] or null. No alignment is required of
/// them. packed, prepared and scratch: 16-byte aligned. prepared: filled by the prepare function, read by all
/// threads; scratch: one per thread. Sizes: the table's functions.
/// Error before the output is rounded: within 2^-13 * sum_k |w * x|, plus 2^-100 * sum_k |w| for tiny activations.
/// In calls of up to kW4FewRows rows that is what tests see, not a worst case: there an activation is rounded by up to
/// 1/61184 of its group's largest, and weights that single out a group's small activations can make that weigh more.
/// In a call of more rows a group whose scale is below 2^-64 of the largest in its column counts as zero.
/// A row of x that holds NaN or infinity gives a row that is nowhere finite where w is not 0, and may be NaN
/// elsewhere; other rows are not touched by it.
/// A row has the same bits wherever the ranges split and whatever other rows are there, in all calls of up to
/// kW4FewRows rows and in all calls of more; between these two the bits may differ.
template <typename T>
struct LinearW4 {
  const T* x;
  const std::uint8_t* packed;
  const T* bias;
  T* y;
  std::size_t m;
  std::size_t n;
  std::size_t k;
  std::size_t group_size;
  std::size_t x_stride;
  std::size_t y_stride;
  void* prepared;
  void* scratch;
};

/// One implementation of the family. prepare_* prepares some of the w4_parts parts, in any order and on any thread;
/// prepare_a8_* the rows of some of the w4_row_blocks blocks. All must have finished before the function after it,
/// which computes all rows of the panels of `panels`.
/// *_a8 rounds each row's activations to int8 with one scale a row: its error is up to max|x| / 254 * sum |w|. To this
/// comes, for each group, up to max|x| / 80 times what its scale differs from that of the first
/// group of its 1024 k.
struct LinearW4Kernels {
  std::size_t (*prepared_size)(std::size_t m, std::size_t k);
  std::size_t (*scratch_size)(std::size_t m, std::size_t k);
  void (*prepare_f32)(const LinearW4<float>&, Range parts);
  void (*prepare_bf16)(const LinearW4<bf16>&, Range parts);
  void (*linear_w4_f32)(const LinearW4<float>&, Range panels);
  void (*linear_w4_bf16)(const LinearW4<bf16>&, Range panels);
  void (*prepare_a8_f32)(const LinearW4<float>&, Range row_blocks);
  void (*prepare_a8_bf16)(const LinearW4<bf16>&, Range row_blocks);
  void (*linear_w4a8_f32)(const LinearW4<float>&, Range panels);
  void (*linear_w4a8_bf16)(const LinearW4<bf16>&, Range panels);
};

namespace portable {
extern const LinearW4Kernels linear_w4_kernels;
}
#if defined(__aarch64__)
namespace neon {
extern const LinearW4Kernels linear_w4_kernels;
}
#endif

}  // namespace axion
