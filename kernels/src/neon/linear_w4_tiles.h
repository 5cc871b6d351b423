// What the files of linear_w4's NEON implementation share: layouts of prepared activations, and entry points.
// Included by files with the neon flags only.
#pragma once

#if !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC) || !defined(__ARM_FEATURE_MATMUL_INT8)
#error "linear_w4's NEON files need -march=armv8.6-a+bf16+i8mm"
#endif

#include <arm_neon.h>

#include "axion/linear_w4.h"

namespace axion {
namespace neon {

// Activations for up to kW4FewRows rows: sets of rows that pass over the weights together, 8 or, of what is left, first
// the pairs and then a single one. A set has a step for each group, one pass over its weights. A group whose outliers
// take its other activations' bits has a second step, for what the first one's rounding left over; those stand behind
// all first ones. So each step has its place, whoever prepares it.
//
// A step holds 16-bit fixed-point numbers as two int8 slices, 256 * high + low. Per 16 k, q1 multiplies the weights
// in high nibbles and q2 those in low ones. The kernel does not separate the nibbles: a packed byte is
// 16 * w1 + w2, all unsigned, so q1 * byte = 16 * w1 * q1 + w2 * q1, and q2, which multiplies byte << 4 = 16 * w2, is
// chosen such that q2 + q1 / 16 stands for its activation. This saves one of four vector operations per 32 weights.
// sum(q1 * byte + q2 * (byte << 4)) - zero * sum(17 * q1 + 16 * q2) is 16 times the product of the integers, exact.

/// One row: scale / 16 and minus the sum above, four times each; then per 16 k [high q1 | low q1][high q2 | low q2].
/// More rows: for each pair of rows the same two words as [a b a b]; then per 16 k first for q1 and then for q2, for
/// each pair, [high a | high b][low a | low b].
constexpr std::size_t kStepGroupBytes = 16;  // StepHeader
constexpr std::size_t kStepScaleBytes = 32;  // per pair of rows

struct StepHeader {
  std::uint32_t group;
  std::int32_t next;  // bytes from this step to the next: its group's second or the next group's first; 0 at the end
};

/// The set that begins where `left` rows are left.
constexpr std::size_t rows_together(std::size_t left) {
  return left >= kW4RowBlock ? kW4RowBlock : (left > 1 ? left / 2 * 2 : 1);
}

constexpr std::size_t row_pairs(std::size_t m) { return (m + 1) / 2; }

constexpr std::size_t step_bytes(std::size_t m, std::size_t group) {
  return kStepGroupBytes + row_pairs(m) * kStepScaleBytes + group / 16 * (m == 1 ? 32 : 64 * row_pairs(m));
}

/// From a set's first row to the next one's, per row: up to two steps a group, and a group is at least 32. What a
/// single row takes is more than enough for each of several.
constexpr std::size_t row_steps_bytes(std::size_t k) { return 2 * (k / 32) * step_bytes(1, 32); }

/// More rows. bf16: tiles of 12 rows and then of 8, see row_tile. In a tile, per 16 k, for each slice, for j of
/// 0..3, for each pair of rows the 2 x 4 values at k of j, j + 8, j + 4, j + 12, as bytes j and j + 4 of packed weights
/// hold them. float x is two bf16 slices, x and what the first left over.
/// int8: blocks of 8 rows. Per 8 k, for each pair of rows, 2 x 8 values.
template <typename T>
constexpr std::size_t kSlices = sizeof(T) == 4 ? 2 : 1;

// k unpacked at a time, 8 KiB that stay in L1. bf16 has a second block, that is unpacked meanwhile.
constexpr std::size_t kBf16BlockK = 512;
constexpr std::size_t kInt8BlockK = 1024;
constexpr std::size_t kTileVectors = 16;  // 8 x 8 accumulators as 2 x 2 blocks

/// A tile of the bf16 kernel.
struct RowTile {
  std::size_t row;    // its first
  std::size_t pairs;  // of rows: 6 or 4
};

/// The tile that holds row `row`, of `blocks` blocks of 8. Each three blocks are two tiles of 12 rows, whose 24
/// accumulators hide the latency of BFMMLA and of rescaling; the one or two left over are tiles of 8.
constexpr RowTile row_tile(std::size_t row, std::size_t blocks) {
  return row < blocks / 3 * 24 ? RowTile{row / 12 * 12, 6} : RowTile{row / 8 * 8, 4};
}

/// [rows][columns of these panels] floats for a set of rows, out of the packed panels from `packed` on.
void w4_gemv_panel(const std::uint8_t* packed, const std::uint8_t* prepared, std::size_t k, std::size_t group,
                   float* sums);
void w4_gemv_three_panels(const std::uint8_t* packed, const std::uint8_t* prepared, std::size_t k, std::size_t group,
                          float* sums);
void w4_rows_panel(const std::uint8_t* packed, const std::uint8_t* prepared, std::size_t m, std::size_t group,
                   float* sums);

template <typename T>
void w4_prepare_steps(const LinearW4<T>& a, Range groups);
template <typename T>
void w4_prepare_blocks(const LinearW4<T>& a, Range blocks);
template <typename T>
void w4_gemm(const LinearW4<T>& a, Range panels);
template <typename T>
void w4a8_prepare(const LinearW4<T>& a, Range blocks);
template <typename T>
void w4a8_gemm(const LinearW4<T>& a, Range panels);

namespace {

inline float32x4_t load4(const float* x) { return vld1q_f32(x); }
inline float32x4_t load4(const bf16* x) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(x)), 16));
}

inline void store4(float* y, float32x4_t value) { vst1q_f32(y, value); }
inline void store4(bf16* y, float32x4_t value) {
  vst1_u16(reinterpret_cast<std::uint16_t*>(y), vreinterpret_u16_bf16(vcvt_bf16_f32(value)));
}

/// Fewer than four outputs. Not inlined: it would crowd the tiles that use it.
template <typename T>
__attribute__((noinline)) void finish_tail(T* y, const T* bias, float32x4_t value, std::size_t count) {
  float part[4];
  vst1q_f32(part, value);
  for (std::size_t i = 0; i < count; ++i) {
    y[i] = from_float<T>(bias != nullptr ? part[i] + to_float(bias[i]) : part[i]);
  }
}

/// Four outputs, of which the first `count` exist.
template <typename T>
inline void finish4(T* y, const T* bias, float32x4_t value, std::size_t count) {
  if (count < 4) {
    finish_tail(y, bias, value, count);
  } else {
    store4(y, bias != nullptr ? vaddq_f32(value, load4(bias)) : value);
  }
}

inline const StepHeader& step_header(const std::uint8_t* step) {
  return *reinterpret_cast<const StepHeader*>(step);
}

/// The columns of panel `panel` that exist.
inline std::size_t panel_columns(std::size_t n, std::size_t panel) {
  const std::size_t left = n - panel * kW4PanelColumns;
  return left < kW4PanelColumns ? left : kW4PanelColumns;
}

}  // namespace
}  // namespace neon
}  // namespace axion
