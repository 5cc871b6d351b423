// More than 8 rows: a panel's weights become bf16 once per call, as the exact integers q - zero, and BFMMLA uses them
// for all rows. Scales enter by keeping the accumulators in units of the current group's scale: one multiplication by
// scale[g - 1] / scale[g] per accumulator and group, instead of a second set of accumulators in memory.
#include "linear_w4_tiles.h"

#include "linear_w4_blocks.h"

namespace axion {
namespace neon {
namespace {

constexpr std::size_t kStepBytes = 128;  // of unpacked weights per 8 k: even and odd k, four pairs of columns
constexpr float kNegligible = 0x1p-64f;  // a scale this far below its column's largest counts as zero
constexpr std::uint32_t kOutOfTable = 128;

/// bf16 of -15..15 as low and high bytes for TBL, which gives 0 beyond its 32 entries.
struct IntegerTable {
  std::uint8_t low[32];
  std::uint8_t high[32];
};

constexpr std::uint16_t small_integer_bits(int value) {
  if (value == 0) {
    return 0;
  }
  const unsigned size = static_cast<unsigned>(value < 0 ? -value : value);
  unsigned exponent = 0;
  while (size >> (exponent + 1) != 0) {
    ++exponent;
  }
  const unsigned fraction = (size << (7 - exponent)) & 0x7fu;
  return static_cast<std::uint16_t>((value < 0 ? 0x8000u : 0u) | (127 + exponent) << 7 | fraction);
}

constexpr IntegerTable integer_table() {
  IntegerTable table{};
  for (int i = 0; i < 31; ++i) {
    table.low[i] = static_cast<std::uint8_t>(small_integer_bits(i - 15) & 0xffu);
    table.high[i] = static_cast<std::uint8_t>(small_integer_bits(i - 15) >> 8);
  }
  return table;
}

constexpr IntegerTable kIntegers = integer_table();

/// What unpacking carries from group to group, 8 columns.
struct Scales {
  float32x4_t negligible[2];
  float32x4_t current[2] = {};
};

inline Scales begin_scales(const std::uint8_t* packed, std::size_t k, std::size_t group) {
  Scales scales;
  float32x4_t largest[2] = {};
  for (std::size_t g = 0; g < k / group; ++g) {
    const auto* words = reinterpret_cast<const float*>(packed + g * w4_group_bytes(group));
    largest[0] = vmaxq_f32(largest[0], vabsq_f32(vld1q_f32(words)));
    largest[1] = vmaxq_f32(largest[1], vabsq_f32(vld1q_f32(words + 4)));
  }
  scales.negligible[0] = vmulq_n_f32(largest[0], kNegligible);
  scales.negligible[1] = vmulq_n_f32(largest[1], kNegligible);
  return scales;
}

/// The group's ratios for each pair of columns as [a b a b], and what turns its nibbles into table positions.
inline void begin_group(const std::uint8_t* packed, Scales* scales, float* ratios, uint8x16_t (&offset)[4]) {
  const std::uint8_t spread[16] = {0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4};
  const uint8x16_t pair = vld1q_u8(spread);
  for (std::size_t v = 0; v < 2; ++v) {
    const float32x4_t words = vld1q_f32(reinterpret_cast<const float*>(packed) + 4 * v);
    const uint32x4_t dead = vcleq_f32(vabsq_f32(words), scales->negligible[v]);
    const float32x4_t ratio = vbslq_f32(dead, vdupq_n_f32(1.0f), vdivq_f32(scales->current[v], words));
    scales->current[v] = vbslq_f32(dead, scales->current[v], words);
    store_pairs(ratios + 8 * v, ratio);
    const uint32x4_t zero = vandq_u32(vreinterpretq_u32_f32(words), vdupq_n_u32(15));
    const uint32x4_t bias = vbslq_u32(dead, vdupq_n_u32(kOutOfTable), vsubq_u32(vdupq_n_u32(15), zero));
    offset[2 * v] = vqtbl1q_u8(vreinterpretq_u8_u32(bias), pair);
    offset[2 * v + 1] = vqtbl1q_u8(vreinterpretq_u8_u32(bias), vaddq_u8(pair, vdupq_n_u8(8)));
  }
}

inline void store_integers(std::uint8_t* out, uint8x16_t low, uint8x16_t high) {
  vst1q_u8(out, vtrn1q_u8(low, high));
  vst1q_u8(out + kStepBytes / 2, vtrn2q_u8(low, high));
}

/// TBL and the stores share two of the four vector pipes, 8 operations per 32 weights: at least 4 cycles.
/// Always inlined: the modelled benchmark traces one symbol, and its figure must include the unpacking.
__attribute__((always_inline)) inline void unpack_group(const std::uint8_t* packed, std::size_t group, const uint8x16_t (&offset)[4],
                         std::uint8_t* out) {
  const uint8x16x2_t low = vld1q_u8_x2(kIntegers.low);
  const uint8x16x2_t high = vld1q_u8_x2(kIntegers.high);
  const std::uint8_t* nibbles = packed + kW4PanelColumns * sizeof(float);
  for (std::size_t i = 0; i < group; i += 16, nibbles += 64, out += 2 * kStepBytes) {
    for (std::size_t c = 0; c < 4; ++c) {
      const uint8x16_t b = vld1q_u8(nibbles + 16 * c);
      const uint8x16_t first = vaddq_u8(vshrq_n_u8(b, 4), offset[c]);
      const uint8x16_t second = vaddq_u8(vandq_u8(b, vdupq_n_u8(15)), offset[c]);
      store_integers(out + 16 * c, vqtbl2q_u8(low, first), vqtbl2q_u8(high, first));
      store_integers(out + kStepBytes + 16 * c, vqtbl2q_u8(low, second), vqtbl2q_u8(high, second));
    }
  }
}

inline bfloat16x8_t load_bf16(const std::uint8_t* at) {
  return vld1q_bf16(reinterpret_cast<const bfloat16_t*>(at));
}

/// One group of one tile.
template <std::size_t Slices>
inline void multiply_group(const std::uint8_t* a, const std::uint8_t* b, std::size_t group, Tile* tile) {
  Vectors rows(a);
  Vectors columns(b);
  for (std::size_t i = 0; i < group; i += 8) {
#pragma clang loop unroll(full)
    for (std::size_t half = 0; half < 2; ++half) {
      bfloat16x8_t column[4];
      for (std::size_t c = 0; c < 4; ++c) {
        column[c] = load_bf16(columns.at(half * 4 + c));
      }
      for (std::size_t s = 0; s < Slices; ++s) {
        for (std::size_t r = 0; r < 4; ++r) {
          const bfloat16x8_t row = load_bf16(rows.at(s * 8 + half * 4 + r));
          for (std::size_t c = 0; c < 4; ++c) {
            tile->acc[r][c] = vbfmmlaq_f32(tile->acc[r][c], row, column[c]);
          }
        }
      }
    }
    rows.advance(8 * Slices);
    columns.advance(8);
  }
}

inline void rescale(const float* ratios, Tile* tile) {
  for (std::size_t c = 0; c < 4; ++c) {
    const float32x4_t ratio = vld1q_f32(ratios + 4 * c);
    for (std::size_t r = 0; r < 4; ++r) {
      tile->acc[r][c] = vmulq_f32(tile->acc[r][c], ratio);
    }
  }
}

/// `is_first`: the tile is zeros, in any unit.
template <std::size_t Slices>
inline void multiply_block(const std::uint8_t* a, const std::uint8_t* b, const float* ratios, std::size_t groups,
                           std::size_t group, bool is_first, Tile* tile) {
  for (std::size_t g = 0; g < groups; ++g) {
    if (g > 0 || !is_first) {
      rescale(ratios + g * 16, tile);
    }
    multiply_group<Slices>(a, b, group, tile);
    a += group * 16 * Slices;
    b += group * 16;
  }
}

}  // namespace

template <typename T>
void w4_gemm(const LinearW4<T>& a, Range panels) {
  const std::size_t group = w4_group(a.k, a.group_size);
  const std::size_t block_groups = kGemmBlockK / group;
  const std::size_t groups = a.k / group;
  const Scratch scratch(a.scratch);
  for (std::size_t p = panels.begin; p < panels.end; ++p) {
    const std::uint8_t* packed = a.packed + p * w4_panel_bytes(a.k, group);
    Scales scales = begin_scales(packed, a.k, group);
    for (std::size_t g0 = 0; g0 < groups; g0 += block_groups) {
      const std::size_t count = groups - g0 < block_groups ? groups - g0 : block_groups;
      for (std::size_t g = 0; g < count; ++g) {
        const std::uint8_t* const from = packed + (g0 + g) * w4_group_bytes(group);
        uint8x16_t offset[4];
        begin_group(from, &scales, scratch.factors + g * 16, offset);
        unpack_group(from, group, offset, scratch.weights + g * group * 16);
      }
      for (std::size_t r = 0; r < a.m; r += kW4RowBlock) {
        const std::uint8_t* rows = static_cast<const std::uint8_t*>(a.prepared) +
                                   (r * a.k + g0 * group * kW4RowBlock) * 2 * kSlices<T>;
        float* kept = scratch.sums + r * kW4PanelColumns;
        Tile tile = g0 == 0 ? Tile{} : load_tile(kept);
        multiply_block<kSlices<T>>(rows, scratch.weights, scratch.factors, count, group, g0 == 0, &tile);
        if (g0 + count < groups) {
          store_tile(kept, tile);
        } else {
          const float32x4_t ones[4] = {vdupq_n_f32(1), vdupq_n_f32(1), vdupq_n_f32(1), vdupq_n_f32(1)};
          finish_tile(a, r, p, tile, scales.current, ones);
        }
      }
    }
  }
}

template void w4_gemm(const LinearW4<float>&, Range);
template void w4_gemm(const LinearW4<bf16>&, Range);

}  // namespace neon
}  // namespace axion
