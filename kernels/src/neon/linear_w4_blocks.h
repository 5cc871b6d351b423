// What the two matrix-matrix kernels of linear_w4 share: 8 x 8 tiles of 2 x 2 blocks, and a thread's scratch.
// Included by files with the neon flags only.
#pragma once

#include "linear_w4_tiles.h"

namespace axion {
namespace neon {

constexpr std::size_t kScratchWeights = 16 * kGemmBlockK;                 // bytes; int8 needs half of it
constexpr std::size_t kScratchFactors = kGemmBlockK / 32 * 16;            // floats: 8 columns twice, per group
constexpr std::size_t kScratchConstants = kTileVectors * 4;               // words
constexpr std::size_t kScratchFixed = kScratchWeights + (kScratchFactors + kScratchConstants) * 4;

constexpr std::size_t row_blocks(std::size_t m) { return (m + kW4RowBlock - 1) / kW4RowBlock; }

namespace {

struct Scratch {
  std::uint8_t* weights;     // a block of k of the panel, unpacked
  float* factors;            // per group and pair of columns, 4 floats
  std::uint32_t* constants;  // what a tile starts from
  float* sums;               // a tile per row block, kept from one block of k to the next

  explicit Scratch(void* memory) {
    weights = static_cast<std::uint8_t*>(memory);
    factors = reinterpret_cast<float*>(weights + kScratchWeights);
    constants = reinterpret_cast<std::uint32_t*>(factors + kScratchFactors);
    sums = reinterpret_cast<float*>(constants + kScratchConstants);
  }
};

/// A run of vectors read through two pointers, so that the compiler does not pair neighbours into LDP: it decodes into
/// more operations than two LDR, and comes back only with the later of the two.
struct Vectors {
  const std::uint8_t* even;
  const std::uint8_t* odd;

  explicit Vectors(const std::uint8_t* first) : even(first), odd(first + 16) {
    __asm__("" : "+r"(odd));
  }
  const std::uint8_t* at(std::size_t i) const { return i % 2 == 0 ? even + 16 * i : odd + 16 * (i - 1); }
  void advance(std::size_t count) {
    even += 16 * count;
    odd += 16 * count;
  }
};

/// acc[r][c] holds rows 2r, 2r + 1 and columns 2c, 2c + 1 as [row][column].
struct Tile {
  float32x4_t acc[4][4] = {};
};

inline Tile load_tile(const float* at) {
  Tile tile;
  for (std::size_t i = 0; i < kTileVectors; ++i) {
    tile.acc[i / 4][i % 4] = vld1q_f32(at + 4 * i);
  }
  return tile;
}

inline void store_tile(float* at, const Tile& tile) {
  for (std::size_t i = 0; i < kTileVectors; ++i) {
    vst1q_f32(at + 4 * i, tile.acc[i / 4][i % 4]);
  }
}

/// Four columns' values as [a b a b] for each of two pairs.
inline void store_pairs(float* out, float32x4_t value) {
  const float64x2_t pairs = vreinterpretq_f64_f32(value);
  vst1q_f32(out, vreinterpretq_f32_f64(vdupq_laneq_f64(pairs, 0)));
  vst1q_f32(out + 4, vreinterpretq_f32_f64(vdupq_laneq_f64(pairs, 1)));
}

inline float32x4_t low_halves(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

inline float32x4_t high_halves(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

/// y = tile * column_scale * row_scale + bias for the rows from `row` on and the panel's columns that exist.
/// row_scale: [a a b b] for each pair of rows.
template <typename T>
inline void finish_tile(const LinearW4<T>& a, std::size_t row, std::size_t panel, const Tile& tile,
                        const float32x4_t (&column_scale)[2], const float32x4_t (&row_scale)[4]) {
  const std::size_t columns = panel_columns(a.n, panel);
  const std::size_t first = panel * kW4PanelColumns;
  const T* const bias = a.bias != nullptr ? a.bias + first : nullptr;
  const bool is_full = columns == kW4PanelColumns && a.m - row >= kW4RowBlock;
  T* y = a.y + row * a.y_stride + first;
#pragma clang loop unroll(full)
  for (std::size_t r = 0; r < kW4RowBlock; ++r, y += a.y_stride) {
#pragma clang loop unroll(full)
    for (std::size_t v = 0; v < 2; ++v) {
      const float32x4_t left = vmulq_f32(tile.acc[r / 2][2 * v], row_scale[r / 2]);
      const float32x4_t right = vmulq_f32(tile.acc[r / 2][2 * v + 1], row_scale[r / 2]);
      const float32x4_t both = r % 2 == 0 ? low_halves(left, right) : high_halves(left, right);
      const float32x4_t value = vmulq_f32(both, column_scale[v]);
      if (is_full && bias == nullptr) {
        store4(y + 4 * v, value);
      } else if (row + r < a.m && 4 * v < columns) {
        finish4(y + 4 * v, bias != nullptr ? bias + 4 * v : nullptr, value, columns - 4 * v);
      }
    }
  }
}

}  // namespace
}  // namespace neon
}  // namespace axion
