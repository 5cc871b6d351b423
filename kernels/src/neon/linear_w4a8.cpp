// int8 activations of one scale a row: SMMLA on the integers q - zero, unpacked once per call.
// Its integers become floats without SCVTF, of which there is one a cycle: accumulators start at the bits of the
// float 1.5 * 2^23, to which integers below 2^22 can be added as they are (1024 * 15 * 127 < 2^21).
// Scales enter by summation by parts: an accumulator goes on from group to group, and is added to a sum each time by
// scale[g] - scale[g + 1], at the end by the last scale. So a group costs one FMLA beside its SMMLA: what the 1.5 * 2^23
// adds need not be taken out before, since it comes to scale[0] - scale[last] of it, which one subtraction takes out
// of a block. Until then it costs the sum some of its last bits, see the header.
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
__attribute__((always_inline)) inline void unpack_group(const std::uint8_t* packed, std::size_t group,
                                                        std::uint8_t* out) {
  const std::uint8_t spread[16] = {0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4};
  uint8x16_t zeros[4];
  for (std::size_t c = 0; c < 4; ++c) {
    const uint32x4_t words = vld1q_u32(reinterpret_cast<const std::uint32_t*>(packed) + c / 2 * 4);
    const uint8x16_t pair = vaddq_u8(vld1q_u8(spread), vdupq_n_u8(static_cast<std::uint8_t>(c % 2 * 8)));
    zeros[c] = vandq_u8(vqtbl1q_u8(vreinterpretq_u8_u32(words), pair), vdupq_n_u8(15));
  }
  const std::uint8_t* nibbles = packed + kW4PanelColumns * sizeof(float);
  for (std::size_t i = 0; i < group; i += 16, nibbles += 64, out += 2 * kStepBytes) {
    for (std::size_t c = 0; c < 4; ++c) {
      const uint8x16_t b = vld1q_u8(nibbles + 16 * c);
      vst1q_u8(out + 16 * c, vsubq_u8(vshrq_n_u8(b, 4), zeros[c]));
      vst1q_u8(out + kStepBytes + 16 * c, vsubq_u8(vandq_u8(b, vdupq_n_u8(15)), zeros[c]));
    }
  }
}

/// A block of k of a panel, unpacked.
struct Block {
  std::size_t group;
  std::size_t count;  // of groups
  std::uint8_t* weights;
  float* steps;   // scale[g] - scale[g + 1] of each group but the last, for each pair of columns [a b a b]
  float* offset;  // what kMagic comes to
  float* last;    // the last group's scale

  Block(const Scratch& scratch, std::size_t group_, std::size_t count_)
      : group(group_),
        count(count_),
        weights(scratch.blocks[0].weights),
        steps(scratch.blocks[0].factors),
        offset(scratch.blocks[0].last),
        last(scratch.blocks[1].last) {}

  __attribute__((always_inline)) void unpack(const std::uint8_t* packed) const {
    float32x4_t sum[2] = {};
    for (std::size_t g = 0; g < count; ++g, packed += w4_group_bytes(group)) {
      const auto* scales = reinterpret_cast<const float*>(packed);
      const auto* next = reinterpret_cast<const float*>(packed + w4_group_bytes(group));
      for (std::size_t v = 0; v < 2; ++v) {
        if (g + 1 == count) {
          store_pairs(last + 8 * v, vld1q_f32(scales + 4 * v));
          store_pairs(offset + 8 * v, sum[v]);
        } else {
          const float32x4_t step = vsubq_f32(vld1q_f32(scales + 4 * v), vld1q_f32(next + 4 * v));
          sum[v] = vfmaq_n_f32(sum[v], step, kMagic);
          store_pairs(steps + 16 * g + 8 * v, step);
        }
      }
      unpack_group(packed, group, weights + g * group * 8);
    }
  }
};

/// sums += the block's products, for 8 rows and half of a panel: its 4 columns leave the registers for a second set of
/// accumulators.
__attribute__((always_inline)) inline void multiply_half(const std::int8_t* a, const Block& block, std::size_t half,
                                                         float* sums) {
  int32x4_t acc[4][2];
  float32x4_t total[4][2] = {};
  for (std::size_t i = 0; i < 8; ++i) {
    acc[i / 2][i % 2] = vdupq_n_s32(kMagicBits);
  }
  Vectors rows(reinterpret_cast<const std::uint8_t*>(a));
  Vectors columns(block.weights + 32 * half);
  const float* step = block.steps + 8 * half;
  for (std::size_t g = 0;; ++g, step += 16) {
    for (std::size_t i = 0; i < block.group; i += 32) {
#pragma clang loop unroll(full)
      for (std::size_t j = 0; j < 4; ++j) {
        int8x16_t column[2];
        for (std::size_t c = 0; c < 2; ++c) {
          column[c] = vld1q_s8(reinterpret_cast<const std::int8_t*>(columns.at(4 * j + c)));
        }
        for (std::size_t r = 0; r < 4; ++r) {
          const int8x16_t row = vld1q_s8(reinterpret_cast<const std::int8_t*>(rows.at(4 * j + r)));
          for (std::size_t c = 0; c < 2; ++c) {
            acc[r][c] = vmmlaq_s32(acc[r][c], row, column[c]);
          }
        }
      }
      rows.advance(16);
      columns.advance(16);
    }
    if (g + 1 == block.count) {
      break;
    }
    for (std::size_t i = 0; i < 8; ++i) {
      const float32x4_t value = vreinterpretq_f32_s32(acc[i / 2][i % 2]);
      total[i / 2][i % 2] = vfmaq_f32(total[i / 2][i % 2], value, vld1q_f32(step + 4 * (i % 2)));
    }
  }
  for (std::size_t i = 0; i < 8; ++i) {
    const std::size_t pair = 2 * half + i % 2;
    float* const at = sums + 4 * (i / 2 * 4 + pair);
    const float32x4_t value = vsubq_f32(vreinterpretq_f32_s32(acc[i / 2][i % 2]), vdupq_n_f32(kMagic));
    const float32x4_t before = vsubq_f32(total[i / 2][i % 2], vld1q_f32(block.offset + 4 * pair));
    vst1q_f32(at, vaddq_f32(vld1q_f32(at), vfmaq_f32(before, value, vld1q_f32(block.last + 4 * pair))));
  }
}

/// Row scales stand behind the blocks of the rows.
float* row_scales(void* prepared, std::size_t m, std::size_t k) {
  return reinterpret_cast<float*>(static_cast<std::uint8_t*>(prepared) + w4_row_blocks(m) * kW4RowBlock * k);
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
  const std::size_t most = kInt8BlockK / group;
  const std::size_t groups = a.k / group;
  const Scratch scratch(a.scratch);
  for (std::size_t p = panels.begin; p < panels.end; ++p) {
    const std::uint8_t* packed = a.packed + p * w4_panel_bytes(a.k, group);
    for (std::size_t g0 = 0; g0 < groups; g0 += most) {
      const Block block(scratch, group, groups - g0 < most ? groups - g0 : most);
      block.unpack(packed + g0 * w4_group_bytes(group));
      for (std::size_t r = 0; r < a.m; r += kW4RowBlock) {
        const auto* rows = static_cast<const std::int8_t*>(a.prepared) + r * a.k + g0 * group * kW4RowBlock;
        float* sums = scratch.sums + r * kW4PanelColumns;
        if (g0 == 0) {
          store_tile(sums, Tile<4>{});
        }
        for (std::size_t half = 0; half < 2; ++half) {
          multiply_half(rows, block, half, sums);
        }
        if (g0 + block.count == groups) {
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
