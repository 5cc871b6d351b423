// What the two matrix-matrix kernels of linear_w4 share: tiles of 2 x 2 blocks, and a thread's scratch.
// Included by files with the neon flags only.
#pragma once

#include "linear_w4_tiles.h"

namespace axion {
namespace neon {

// A block of k of a panel, unpacked. bf16 has two of these, int8 one of twice the k.
constexpr std::size_t kBlockWeights = 16 * kBf16BlockK;       // bytes
constexpr std::size_t kBlockFactors = kBf16BlockK / 32 * 16;  // floats: 8 columns twice, per group
constexpr std::size_t kLastFactors = 2 * kW4PanelColumns;     // floats
constexpr std::size_t kScratchConstants = kTileVectors * 4;   // words
constexpr std::size_t kScratchZeros = kBf16BlockK / 32 * kW4PanelColumns;
constexpr std::size_t kScratchFixed =
    2 * kBlockWeights + (2 * (kBlockFactors + kLastFactors) + kScratchConstants + kScratchZeros) * 4;
static_assert(2 * kBf16BlockK == kInt8BlockK, "they share the scratch");

namespace {

struct Unpacked {
  std::uint8_t* weights;
  float* factors;  // per group and pair of columns, 4 floats
  float* last;     // the scale at the block's end, for each pair of columns 4 floats
};

struct Scratch {
  Unpacked blocks[2];        // bf16; int8 uses the two in a row as one
  std::uint32_t* constants;  // what a tile starts from
  std::uint32_t* zeros;      // of the block that is being unpacked, per group and column
  float* sums;               // a tile per row block, kept from one block of k to the next

  explicit Scratch(void* memory) {
    auto* weights = static_cast<std::uint8_t*>(memory);
    auto* factors = reinterpret_cast<float*>(weights + 2 * kBlockWeights);
    auto* last = factors + 2 * kBlockFactors;
    blocks[0] = {weights, factors, last};
    blocks[1] = {weights + kBlockWeights, factors + kBlockFactors, last + kLastFactors};
    constants = reinterpret_cast<std::uint32_t*>(last + 2 * kLastFactors);
    zeros = constants + kScratchConstants;
    sums = reinterpret_cast<float*>(zeros + kScratchZeros);
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
template <std::size_t Pairs>
struct Tile {
  float32x4_t acc[Pairs][4] = {};
};

template <std::size_t Pairs>
inline void load_tile(const float* at, Tile<Pairs>* tile) {
  for (std::size_t i = 0; i < 4 * Pairs; ++i) {
    tile->acc[i / 4][i % 4] = vld1q_f32(at + 4 * i);
  }
}

template <std::size_t Pairs>
inline void store_tile(float* at, const Tile<Pairs>& tile) {
  for (std::size_t i = 0; i < 4 * Pairs; ++i) {
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

/// tile *= the values of each pair of columns, [a b a b].
template <std::size_t Pairs>
inline void scale_columns(const float* pairs, Tile<Pairs>* tile) {
  for (std::size_t c = 0; c < 4; ++c) {
    const float32x4_t pair = vld1q_f32(pairs + 4 * c);
    for (std::size_t r = 0; r < Pairs; ++r) {
      tile->acc[r][c] = vmulq_f32(tile->acc[r][c], pair);
    }
  }
}

/// Columns 0 to 7 of rows 2r and 2r + 1 as bf16, in turns of two columns.
inline uint32x4_t narrowed(float32x4_t left, float32x4_t right) {
  return vreinterpretq_u32_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(left), right));
}

template <std::size_t Pairs>
inline void store_rows(bf16* y, std::size_t stride, const Tile<Pairs>& tile) {
  for (std::size_t r = 0; r < Pairs; ++r, y += 2 * stride) {
    const uint32x4_t left = narrowed(tile.acc[r][0], tile.acc[r][1]);
    const uint32x4_t right = narrowed(tile.acc[r][2], tile.acc[r][3]);
    vst1q_u16(reinterpret_cast<std::uint16_t*>(y), vreinterpretq_u16_u32(vuzp1q_u32(left, right)));
    vst1q_u16(reinterpret_cast<std::uint16_t*>(y + stride), vreinterpretq_u16_u32(vuzp2q_u32(left, right)));
  }
}

template <std::size_t Pairs>
inline void store_rows(float* y, std::size_t stride, const Tile<Pairs>& tile) {
  for (std::size_t r = 0; r < Pairs; ++r, y += 2 * stride) {
    for (std::size_t v = 0; v < 2; ++v) {
      vst1q_f32(y + 4 * v, low_halves(tile.acc[r][2 * v], tile.acc[r][2 * v + 1]));
      vst1q_f32(y + stride + 4 * v, high_halves(tile.acc[r][2 * v], tile.acc[r][2 * v + 1]));
    }
  }
}

/// y = tile + bias for the rows from `row` on and the panel's columns that exist.
template <typename T, std::size_t Pairs>
inline void finish_tile(const LinearW4<T>& a, std::size_t row, std::size_t panel, const Tile<Pairs>& tile) {
  const std::size_t columns = panel_columns(a.n, panel);
  const std::size_t first = panel * kW4PanelColumns;
  const T* const bias = a.bias != nullptr ? a.bias + first : nullptr;
  T* y = a.y + row * a.y_stride + first;
  if (columns == kW4PanelColumns && a.m - row >= 2 * Pairs && bias == nullptr) {
    store_rows(y, a.y_stride, tile);
    return;
  }
#pragma clang loop unroll(full)
  for (std::size_t r = 0; r < 2 * Pairs; ++r, y += a.y_stride) {
#pragma clang loop unroll(full)
    for (std::size_t v = 0; v < 2; ++v) {
      const float32x4_t left = tile.acc[r / 2][2 * v];
      const float32x4_t right = tile.acc[r / 2][2 * v + 1];
      const float32x4_t value = r % 2 == 0 ? low_halves(left, right) : high_halves(left, right);
      if (row + r < a.m && 4 * v < columns) {
        finish4(y + 4 * v, bias != nullptr ? bias + 4 * v : nullptr, value, columns - 4 * v);
      }
    }
  }
}

}  // namespace
}  // namespace neon
}  // namespace axion
