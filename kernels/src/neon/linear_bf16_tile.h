// The packed order of linear_bf16 and the register tile that reads it. For units of this folder alone: what is not a
// constant has internal linkage, so that no unit of another ISA can end up with this code.
#pragma once

#if !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#error "linear_bf16 needs FEAT_BF16: compile this file with AXION_NEON_FLAGS"
#endif

#include <arm_neon.h>

#include "axion/linear_bf16.h"

// Accumulators stay in registers only where everything that touches them is inlined; the compiler would not always.
#define AXION_INLINE __attribute__((always_inline)) inline

namespace axion::neon {
namespace {

// BFMMLA multiplies two rows of 4 by two columns of 4. Both operands are therefore packed by pairs of rows: a block is
// 8 elements of k, [2 quads][pairs][2 rows][4 elements]; k is filled up with zeros to whole blocks.
constexpr std::size_t kBlock = 8;
constexpr std::size_t kPairBlock = 2 * kBlock;  // elements of one pair in a block
// 8 x 12 is 24 accumulators: BFMMLA needs 16 to hide its latency, the others cover what the loop cannot overlap.
constexpr std::size_t kTileRows = 8;
constexpr std::size_t kTilePairs = kTileRows / 2;
constexpr std::size_t kColumns = 12;
constexpr std::size_t kColumnPairs = kColumns / 2;
constexpr std::size_t kColumnVectors = kColumns / 4;
constexpr std::size_t kPartialFloats = kTilePairs * kColumnPairs * 4;

constexpr std::size_t blocks_of(std::size_t k) { return (k + kBlock - 1) / kBlock; }
constexpr std::size_t panel_elements(std::size_t k) { return blocks_of(k) * kColumnPairs * kPairBlock; }

}  // namespace

/// Pack `rows` rows of x from element `begin` to `end` as `pairs` pairs; rows that are missing become zeros.
void pack_bf16_pairs(const bf16* x, std::size_t stride, std::size_t rows, std::size_t pairs, Range elements,
                     std::uint16_t* packed);

namespace {

/// Where a tile's sums start and end. k is worked on in several parts when it is long: until the last one they wait in
/// `sums`, in the order of the accumulators. Storing a float and loading it back is exact, so that parts do not show.
struct Partial {
  const float* bias;  ///< of the panel, as panel_bias has it
  float* sums;
  bool resume;
  bool finish;
};

/// The results of a tile. `rows` and `columns` are those that exist; the others are computed and dropped.
template <typename Out>
struct Target {
  Out* y;
  std::size_t stride;
  std::size_t rows;
  std::size_t columns;
};

AXION_INLINE bfloat16x8_t load_pair(const std::uint16_t* p) { return vreinterpretq_bf16_u16(vld1q_u16(p)); }

// Blocks by which lines of 64 bytes are fetched ahead of their use: rows from L2 (8 are 96 cycles of BFMMLA in a full
// tile), columns from memory, 3 KiB ahead in each panel.
constexpr std::size_t kRowsAhead = 8;
constexpr std::size_t kColumnsAhead = 16;

constexpr std::size_t kBiasFloats = kColumnPairs * 4;

/// The bias of `columns` columns as the accumulators hold it, each pair of columns for two rows; zeros without one.
inline void panel_bias(const bf16* bias, std::size_t columns, float (&pairs)[kBiasFloats]) {
  for (std::size_t c = 0; c < kColumns; ++c) {
    const float value = bias != nullptr && c < columns ? to_float(bias[c]) : 0.0f;
    pairs[c / 2 * 4 + c % 2] = value;
    pairs[c / 2 * 4 + c % 2 + 2] = value;
  }
}

template <std::size_t Pairs, std::size_t Panels>
struct Accumulators {
  float32x4_t sum[Panels][kColumnPairs][Pairs];

  /// Sums start from the bias, by loads, which the loop has to spare, instead of adding it in the end.
  AXION_INLINE void start(const Partial& partial) {
    if (partial.resume) {
      return load(partial.sums, Pairs * 4, 4);
    }
    load(partial.bias, 4, 0);
  }

  AXION_INLINE void load(const float* from, std::size_t column_step, std::size_t pair_step) {
    for (std::size_t i = 0; i < Panels; ++i) {
      for (std::size_t c = 0; c < kColumnPairs; ++c) {
        for (std::size_t p = 0; p < Pairs; ++p) {
          sum[i][c][p] = vld1q_f32(from + (i * kColumnPairs + c) * column_step + p * pair_step);
        }
      }
    }
  }

  AXION_INLINE void suspend(float* sums) const {
    for (std::size_t c = 0; c < kColumnPairs; ++c) {
      for (std::size_t p = 0; p < Pairs; ++p) {
        vst1q_f32(sums + (c * Pairs + p) * 4, sum[0][c][p]);
      }
    }
  }

  /// Panels beyond the first lie `panel_step` elements apart.
  AXION_INLINE void add(const std::uint16_t* a, const std::uint16_t* b, std::size_t panel_step, std::size_t blocks) {
    constexpr std::size_t kAStep = Pairs * kPairBlock;
    constexpr std::size_t kBStep = kColumnPairs * kPairBlock;
    for (; blocks > 0; --blocks, a += kAStep, b += kBStep) {
      // Neighbours are loaded through different registers, or the compiler would join them to LDP: as many bytes a
      // cycle, but 3 micro-operations in LLVM 19's model instead of 2, too many for the loop at dispatch 6.
      const std::uint16_t* a_odd = a;
      const std::uint16_t* b_odd = b;
      asm("" : "+r"(a_odd), "+r"(b_odd));
      for (std::size_t line = 0; line < kAStep * 2; line += 64) {
        __builtin_prefetch(a + kRowsAhead * kAStep + line / 2);
      }
      for (std::size_t i = 0; i < Panels; ++i) {
        for (std::size_t line = 0; line < kBStep * 2; line += 64) {
          __builtin_prefetch(b + i * panel_step + kColumnsAhead * kBStep + line / 2);
        }
      }
      for (std::size_t quad = 0; quad < 2; ++quad) {
        bfloat16x8_t rows[Pairs];
        for (std::size_t p = 0; p < Pairs; ++p) {
          rows[p] = load_pair((p % 2 == 0 ? a : a_odd) + (quad * Pairs + p) * kBlock);
        }
        for (std::size_t i = 0; i < Panels; ++i) {
          for (std::size_t c = 0; c < kColumnPairs; ++c) {
            const std::uint16_t* from = (c % 2 == 0 ? b : b_odd) + i * panel_step;
            const bfloat16x8_t columns = load_pair(from + (quad * kColumnPairs + c) * kBlock);
            for (std::size_t p = 0; p < Pairs; ++p) {
              sum[i][c][p] = vbfmmlaq_f32(sum[i][c][p], rows[p], columns);
            }
          }
        }
      }
    }
  }
};

/// One pair of rows: accumulators of [2 rows][2 columns] to rows of kColumns results.
template <std::size_t Pairs>
AXION_INLINE void store_pair(float* even, float* odd, const float32x4_t (&sum)[kColumnPairs][Pairs], std::size_t pair) {
  for (std::size_t v = 0; v < kColumnPairs / 2; ++v) {
    const float64x2_t left = vreinterpretq_f64_f32(sum[2 * v][pair]);
    const float64x2_t right = vreinterpretq_f64_f32(sum[2 * v + 1][pair]);
    vst1q_f32(even + v * 4, vreinterpretq_f32_f64(vuzp1q_f64(left, right)));
    vst1q_f32(odd + v * 4, vreinterpretq_f32_f64(vuzp2q_f64(left, right)));
  }
}

/// The same in bf16. Rounding comes first: two columns are 32 bits then, and take fewer instructions to reorder.
template <std::size_t Pairs>
AXION_INLINE void store_pair(bf16* even, bf16* odd, const float32x4_t (&sum)[kColumnPairs][Pairs], std::size_t pair) {
  static_assert(kColumnPairs == 6, "a vector of 8 results and one of 4 a row");
  uint32x4_t narrow[kColumnPairs / 2];  // [even c01, odd c01, even c23, odd c23] and so on
  for (std::size_t v = 0; v < kColumnPairs / 2; ++v) {
    const bfloat16x8_t low = vcvtq_low_bf16_f32(sum[2 * v][pair]);
    narrow[v] = vreinterpretq_u32_bf16(vcvtq_high_bf16_f32(low, sum[2 * v + 1][pair]));
  }
  auto* even_bits = reinterpret_cast<std::uint16_t*>(even);
  auto* odd_bits = reinterpret_cast<std::uint16_t*>(odd);
  vst1q_u16(even_bits, vreinterpretq_u16_u32(vuzp1q_u32(narrow[0], narrow[1])));
  vst1q_u16(odd_bits, vreinterpretq_u16_u32(vuzp2q_u32(narrow[0], narrow[1])));
  vst1_u16(even_bits + 8, vreinterpret_u16_u32(vget_low_u32(vuzp1q_u32(narrow[2], narrow[2]))));
  vst1_u16(odd_bits + 8, vreinterpret_u16_u32(vget_low_u32(vuzp2q_u32(narrow[2], narrow[2]))));
}

/// What exists of a tile that hangs over the last row or column.
template <std::size_t Pairs, typename Out>
__attribute__((noinline)) void store_part(const float32x4_t (&sum)[kColumnPairs][Pairs], const Target<Out>& target) {
  for (std::size_t pair = 0; pair < Pairs; ++pair) {
    Out whole[2][kColumns];
    store_pair(whole[0], whole[1], sum, pair);
    for (std::size_t r = 0; r < 2 && 2 * pair + r < target.rows; ++r) {
      for (std::size_t c = 0; c < target.columns; ++c) {
        target.y[(2 * pair + r) * target.stride + c] = whole[r][c];
      }
    }
  }
}

template <std::size_t Pairs, typename Out>
AXION_INLINE void finish_tile(const float32x4_t (&sum)[kColumnPairs][Pairs], const Target<Out>& target) {
  if (target.rows != 2 * Pairs || target.columns != kColumns) {
    float32x4_t copy[kColumnPairs][Pairs];  // so that the accumulators themselves need no address
    std::memcpy(copy, sum, sizeof copy);
    return store_part(copy, target);
  }
  Out* y = target.y;
  for (std::size_t pair = 0; pair < Pairs; ++pair, y += 2 * target.stride) {
    store_pair(y, y + target.stride, sum, pair);
  }
}

}  // namespace
}  // namespace axion::neon
