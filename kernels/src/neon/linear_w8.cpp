#if !defined(__ARM_FEATURE_MATMUL_INT8) || !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#error "linear_w8 needs FEAT_I8MM and FEAT_BF16: compile this file with AXION_NEON_FLAGS"
#endif

#include <arm_neon.h>

#include <algorithm>

#include "linear_w8_layout.h"

#define AXION_INLINE __attribute__((always_inline)) inline

namespace axion::neon {
namespace {

// Rows that are sliced at a time, for all panels: at K = 4096 they take half a MiB of L2, more only with second passes.
constexpr std::size_t kRowBlock = 32;
static_assert(kRowBlock % kTileRows == 0, "a block is made of whole tiles");
constexpr std::size_t kVectors = kColumns / 4;
// Blocks by which the weight is fetched ahead of its use: 3 KiB.
constexpr std::size_t kAhead = 16;

std::size_t packed_bytes(std::size_t n, std::size_t k) { return (n + kColumns - 1) / kColumns * panel_bytes(k); }

std::size_t scratch_bytes(std::size_t rows, std::size_t k) {
  return std::min((rows + kTileRows - 1) / kTileRows, kRowBlock / kTileRows) * sliced_bytes(kTileRows, k);
}

/// One group of Rows rows and Pairs pairs of columns: int32 sums of the slices, then both slices together as floats,
/// times the rows' scales, onto `sum` from vector `at` of 4 columns on. Fetches ahead for all pairs when First.
template <std::size_t Rows, std::size_t Pairs, bool First>
AXION_INLINE void add_group(const std::int8_t* a, const std::int8_t* b, std::size_t blocks, const float* scale,
                            std::size_t at, float32x4_t (&sum)[Rows][kVectors]) {
  int32x4_t slices[Rows][Pairs];
  for (std::size_t r = 0; r < Rows; ++r) {
    for (std::size_t c = 0; c < Pairs; ++c) {
      slices[r][c] = vdupq_n_s32(0);
    }
  }
  for (; blocks > 0; --blocks, a += Rows * kPairBlock, b += kColumnPairs * kPairBlock) {
    for (std::size_t line = 0; First && line < kColumnPairs * kPairBlock; line += 64) {
      __builtin_prefetch(b + kAhead * kColumnPairs * kPairBlock + line);
    }
    // Neighbours are loaded through different registers, see linear_bf16_tile.h.
    const std::int8_t* a_odd = a;
    const std::int8_t* b_odd = b;
    asm("" : "+r"(a_odd), "+r"(b_odd));
    int8x16_t row[Rows];
    for (std::size_t r = 0; r < Rows; ++r) {
      row[r] = vld1q_s8((r % 2 == 0 ? a : a_odd) + r * kPairBlock);
    }
    for (std::size_t c = 0; c < Pairs; ++c) {
      const int8x16_t columns = vld1q_s8((c % 2 == 0 ? b : b_odd) + c * kPairBlock);
      for (std::size_t r = 0; r < Rows; ++r) {
        slices[r][c] = vmmlaq_s32(slices[r][c], row[r], columns);  // [high, high][low, low] of two columns
      }
    }
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    for (std::size_t v = 0; v < Pairs / 2; ++v) {
      const int64x2_t left = vreinterpretq_s64_s32(slices[r][2 * v]);
      const int64x2_t right = vreinterpretq_s64_s32(slices[r][2 * v + 1]);
      const int32x4_t high = vreinterpretq_s32_s64(vuzp1q_s64(left, right));
      const int32x4_t low = vreinterpretq_s32_s64(vuzp2q_s64(left, right));
      sum[r][at + v] = vfmaq_n_f32(sum[r][at + v], vcvtq_f32_s32(vaddq_s32(vshlq_n_s32(high, 8), low)), scale[r]);
    }
  }
}

AXION_INLINE void store(float* y, float32x4_t first, float32x4_t last) {
  vst1q_f32(y, first);
  vst1q_f32(y + 4, last);
}

AXION_INLINE void store(bf16* y, float32x4_t first, float32x4_t last) {
  const bfloat16x8_t both = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(first), last);
  vst1q_u16(reinterpret_cast<std::uint16_t*>(y), vreinterpretq_u16_bf16(both));
}

/// Times the weight's scales, plus bias, and what exists of the row stored.
template <typename Out>
AXION_INLINE void finish_row(const LinearW8<Out>& args, const float* scales, std::size_t panel, std::size_t row,
                             const float32x4_t (&sum)[kVectors]) {
  const std::size_t column = panel * kColumns;
  const std::size_t columns = std::min(kColumns, args.n - column);
  float bias[kColumns] = {};
  for (std::size_t c = 0; args.bias != nullptr && c < columns; ++c) {
    bias[c] = to_float(args.bias[column + c]);
  }
  Out whole[kColumns];
  for (std::size_t v = 0; v < kVectors; v += 2) {
    float32x4_t half[2];
    for (std::size_t h = 0; h < 2; ++h) {
      half[h] = vfmaq_f32(vld1q_f32(bias + (v + h) * 4), sum[v + h], vld1q_f32(scales + (v + h) * 4));
    }
    store(whole + v * 4, half[0], half[1]);
  }
  std::memcpy(args.y + row * args.y_stride + column, whole, columns * sizeof(Out));
}

/// One panel against Rows rows, Pairs pairs of columns at a time: as many accumulators as there are registers for.
template <std::size_t Rows, std::size_t Pairs, typename Out>
__attribute__((noinline)) void tile(const LinearW8<Out>& args, const W8Rows& rows, std::size_t row,
                                    std::size_t panel) {
  const auto* packed = static_cast<const std::int8_t*>(args.packed) + panel * panel_bytes(args.k);
  const std::int8_t* codes = packed + kScaleBytes;
  float32x4_t sum[Rows][kVectors];
  std::fill_n(&sum[0][0], Rows * kVectors, vdupq_n_f32(0.0f));
  for (std::size_t p = 0; p < rows.count; ++p) {
    const W8Pass& pass = rows.passes[p];
    const std::int8_t* a = rows.slices + p * pass_bytes(Rows);
    const std::size_t first = pass.group * kGroupBlocks;
    const std::int8_t* b = codes + first * kColumnPairs * kPairBlock;
    const std::size_t blocks = std::min(kGroupBlocks, blocks_of(args.k) - first);
    add_group<Rows, Pairs, true>(a, b, blocks, pass.scale, 0, sum);
    for (std::size_t c = Pairs; c < kColumnPairs; c += Pairs) {
      add_group<Rows, Pairs, false>(a, b + c * kPairBlock, blocks, pass.scale, c / 2, sum);
    }
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    finish_row(args, reinterpret_cast<const float*>(packed), panel, row + r, sum[r]);
  }
}

/// Rows of a tile that starts `left` rows before the end: three are served as two and one.
constexpr std::size_t tile_rows(std::size_t left) { return left >= 4 ? 4 : left >= 2 ? 2 : 1; }

template <typename Out>
void block(const LinearW8<Out>& args, Range rows, Range panels) {
  W8Rows sliced[kRowBlock / kTileRows + 2];
  auto* memory = static_cast<char*>(args.scratch);
  std::size_t count = 0;
  for (std::size_t row = rows.begin; row < rows.end; ++count) {
    const std::size_t tall = tile_rows(rows.end - row);
    sliced[count] = slice_w8_rows(args.x + row * args.x_stride, args.x_stride, tall, args.k, memory);
    memory += sliced_bytes(tall, args.k);
    row += tall;
  }
  for (std::size_t panel = panels.begin; panel < panels.end; ++panel) {
    std::size_t row = rows.begin;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t tall = tile_rows(rows.end - row);
      switch (tall) {
        case 4: tile<4, 4>(args, sliced[i], row, panel); break;
        case 2: tile<2, 12>(args, sliced[i], row, panel); break;
        default: tile<1, 12>(args, sliced[i], row, panel); break;
      }
      row += tall;
    }
  }
}

template <typename Out>
void linear(const LinearW8<Out>& args, Range rows, Range panels) {
  for (std::size_t row = rows.begin; row < rows.end; row += kRowBlock) {
    block(args, Range{row, std::min(row + kRowBlock, rows.end)}, panels);
  }
}

}  // namespace

const LinearW8Kernels linear_w8_kernels = {
    kColumns, kTileRows, packed_bytes, scratch_bytes, pack_w8_f32, pack_w8_bf16, linear<bf16>, linear<float>,
};

}  // namespace axion::neon
