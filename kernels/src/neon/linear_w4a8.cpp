// int8 activations of one scale a row: SMMLA on the integers q - zero, unpacked once per call.
// Its integers become floats without SCVTF, of which there is one a cycle: accumulators start at the bits of the
// float 1.5 * 2^23, to which integers below 2^22 can be added as they are (128 * 15 * 127 < 2^18).
#include "linear_w4_blocks.h"

#include <cmath>
#include <limits>

namespace axion {
namespace neon {
namespace {

constexpr float kA8Levels = 127.0f;
constexpr float kA8Smallest = 0x1p-100f;
constexpr std::size_t kStepBytes = 64;  // of unpacked weights, or of activations, per 8 k
constexpr float kMagic = 12582912.0f;
constexpr std::uint32_t kMagicBits = 0x4b400000u;

template <typename T>
float row_scale(const T* x, std::size_t k) {
  float32x4_t largest = vdupq_n_f32(kA8Smallest);
  for (std::size_t i = 0; i < k; i += 4) {
    largest = vmaxq_f32(largest, vabsq_f32(load4(x + i)));
  }
  const float result = vmaxvq_f32(largest);
  return std::isfinite(result) ? result / kA8Levels : std::numeric_limits<float>::quiet_NaN();
}

template <typename T>
inline int8x8_t quantize8(const T* x, float32x4_t inverse) {
  const int32x4_t a = vcvtnq_s32_f32(vmulq_f32(load4(x), inverse));
  const int32x4_t b = vcvtnq_s32_f32(vmulq_f32(load4(x + 4), inverse));
  return vqmovn_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)));
}

/// Always inlined: the modelled benchmark traces one symbol, and its figure must include the unpacking.
__attribute__((always_inline)) inline void unpack_group(const std::uint8_t* packed, std::size_t group, float* scales,
                                                        std::uint8_t* out) {
  const std::uint8_t spread[16] = {0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4};
  uint8x16_t zeros[4];
  for (std::size_t c = 0; c < 4; ++c) {
    const uint32x4_t words = vld1q_u32(reinterpret_cast<const std::uint32_t*>(packed) + c / 2 * 4);
    const uint8x16_t pair = vaddq_u8(vld1q_u8(spread), vdupq_n_u8(static_cast<std::uint8_t>(c % 2 * 8)));
    zeros[c] = vandq_u8(vqtbl1q_u8(vreinterpretq_u8_u32(words), pair), vdupq_n_u8(15));
  }
  store_pairs(scales, vld1q_f32(reinterpret_cast<const float*>(packed)));
  store_pairs(scales + 8, vld1q_f32(reinterpret_cast<const float*>(packed) + 4));
  const std::uint8_t* nibbles = packed + kW4PanelColumns * sizeof(float);
  for (std::size_t i = 0; i < group; i += 16, nibbles += 64, out += 2 * kStepBytes) {
    for (std::size_t c = 0; c < 4; ++c) {
      const uint8x16_t b = vld1q_u8(nibbles + 16 * c);
      vst1q_u8(out + 16 * c, vsubq_u8(vshrq_n_u8(b, 4), zeros[c]));
      vst1q_u8(out + kStepBytes + 16 * c, vsubq_u8(vandq_u8(b, vdupq_n_u8(15)), zeros[c]));
    }
  }
}

/// sums += scales * (one group's integer products). `start` holds kMagicBits, in memory since a load costs no vector
/// slot where a move would.
inline void multiply_group(const std::int8_t* a, const std::int8_t* b, std::size_t group, const std::uint32_t* start,
                           const float* scales, float* sums) {
  int32x4_t acc[4][4];
  for (std::size_t i = 0; i < kTileVectors; ++i) {
    acc[i / 4][i % 4] = vreinterpretq_s32_u32(vld1q_u32(start + 4 * i));
  }
  Vectors rows(reinterpret_cast<const std::uint8_t*>(a));
  Vectors columns(reinterpret_cast<const std::uint8_t*>(b));
#pragma clang loop unroll_count(2)
  for (std::size_t i = 0; i < group; i += 8) {
    int8x16_t column[4];
    for (std::size_t c = 0; c < 4; ++c) {
      column[c] = vld1q_s8(reinterpret_cast<const std::int8_t*>(columns.at(c)));
    }
    for (std::size_t r = 0; r < 4; ++r) {
      const int8x16_t row = vld1q_s8(reinterpret_cast<const std::int8_t*>(rows.at(r)));
      for (std::size_t c = 0; c < 4; ++c) {
        acc[r][c] = vmmlaq_s32(acc[r][c], row, column[c]);
      }
    }
    rows.advance(4);
    columns.advance(4);
  }
  for (std::size_t i = 0; i < kTileVectors; ++i) {
    const float32x4_t value = vsubq_f32(vreinterpretq_f32_s32(acc[i / 4][i % 4]), vdupq_n_f32(kMagic));
    vst1q_f32(sums + 4 * i, vfmaq_f32(vld1q_f32(sums + 4 * i), value, vld1q_f32(scales + 4 * (i % 4))));
  }
}

/// Row scales stand behind the blocks of the rows.
float* row_scales(void* prepared, std::size_t m, std::size_t k) {
  return reinterpret_cast<float*>(static_cast<std::uint8_t*>(prepared) + row_blocks(m) * kW4RowBlock * k);
}

template <typename T>
inline void finish(const LinearW4<T>& a, std::size_t row, std::size_t panel, const float* sums) {
  const float* scales = row_scales(a.prepared, a.m, a.k) + row;
  Tile<4> tile;
  load_tile(sums, &tile);
  for (std::size_t r = 0; r < 4; ++r) {
    const float32x2_t two = vld1_f32(scales + 2 * r);
    const float32x4_t pair = vcombine_f32(vdup_lane_f32(two, 0), vdup_lane_f32(two, 1));
    for (std::size_t c = 0; c < 4; ++c) {
      tile.acc[r][c] = vmulq_f32(tile.acc[r][c], pair);
    }
  }
  finish_tile(a, row, panel, tile);
}

}  // namespace

template <typename T>
void w4a8_prepare(const LinearW4<T>& a, Range blocks) {
  for (std::size_t row = blocks.begin * kW4RowBlock; row < blocks.end * kW4RowBlock; ++row) {
    auto* out = static_cast<std::int8_t*>(a.prepared) + row / kW4RowBlock * kW4RowBlock * a.k + row % kW4RowBlock * 8;
    const T* x = a.x + row * a.x_stride;
    const float scale = row < a.m ? row_scale(x, a.k) : 0.0f;
    row_scales(a.prepared, a.m, a.k)[row] = scale;
    const float32x4_t inverse = vdupq_n_f32(1.0f / scale);
    for (std::size_t i = 0; i < a.k; i += 8, out += kStepBytes) {
      vst1_s8(out, row < a.m ? quantize8(x + i, inverse) : vdup_n_s8(0));
    }
  }
}

template <typename T>
void w4a8_gemm(const LinearW4<T>& a, Range panels) {
  const std::size_t group = w4_group(a.k, a.group_size);
  const std::size_t block_groups = kInt8BlockK / group;
  const std::size_t groups = a.k / group;
  const Scratch scratch(a.scratch);
  for (std::size_t i = 0; i < kScratchConstants; ++i) {
    scratch.constants[i] = kMagicBits;
  }
  for (std::size_t p = panels.begin; p < panels.end; ++p) {
    const std::uint8_t* packed = a.packed + p * w4_panel_bytes(a.k, group);
    for (std::size_t g0 = 0; g0 < groups; g0 += block_groups) {
      const std::size_t count = groups - g0 < block_groups ? groups - g0 : block_groups;
      for (std::size_t g = 0; g < count; ++g) {
        unpack_group(packed + (g0 + g) * w4_group_bytes(group), group, scratch.blocks[0].factors + g * 16,
                     scratch.blocks[0].weights + g * group * 8);
      }
      for (std::size_t r = 0; r < a.m; r += kW4RowBlock) {
        const auto* rows = static_cast<const std::int8_t*>(a.prepared) + r * a.k + g0 * group * kW4RowBlock;
        const auto* weights = reinterpret_cast<const std::int8_t*>(scratch.blocks[0].weights);
        float* sums = scratch.sums + r * kW4PanelColumns;
        if (g0 == 0) {
          store_tile(sums, Tile<4>{});
        }
        for (std::size_t g = 0; g < count; ++g) {
          multiply_group(rows + g * group * 8, weights + g * group * 8, group, scratch.constants,
                         scratch.blocks[0].factors + g * 16, sums);
        }
        if (g0 + count == groups) {
          finish(a, r, p, sums);
        }
      }
    }
  }
}

template void w4a8_prepare(const LinearW4<float>&, Range);
template void w4a8_prepare(const LinearW4<bf16>&, Range);
template void w4a8_gemm(const LinearW4<float>&, Range);
template void w4a8_gemm(const LinearW4<bf16>&, Range);

}  // namespace neon
}  // namespace axion
