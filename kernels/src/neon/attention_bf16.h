/// Private to the neon and sve2 attention units: the Core that multiplies bf16 with BFMMLA.
///
/// BFMMLA multiplies two 2x4 blocks, so everything is packed into such blocks: pairs of query rows, pairs of keys, pairs
/// of value columns. A tile of 8 rows by 8 keys (or columns) takes 16 accumulators, which is what keeps four BFMMLA pipes
/// busy; fewer rows, as in decoding, take more keys at a time instead. Keys and values are packed once for the 32 rows of
/// a unit. Anonymous: the units are compiled with different instructions.
#pragma once

#if !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#error "built with +bf16"
#endif

#include <arm_neon.h>

#include "../portable/attention_tile.h"

namespace axion {
namespace {

using Block = bfloat16x8_t;  ///< 2 rows (or columns) of 4
constexpr std::size_t kBlock = 8;
constexpr std::size_t kPairs = 4;    ///< row pairs of a row block, key pairs of a key block
constexpr std::size_t kRowBlock = 8;
constexpr std::size_t kKeySteps = kKeys / 4;

inline const std::uint16_t* bits_at(const bf16* from) { return reinterpret_cast<const std::uint16_t*>(from); }

inline Block load_block(const bf16* from) { return vreinterpretq_bf16_u16(vld1q_u16(bits_at(from))); }

/// acc[n][r][p] += a[r] b[n][p] for one step.
template <int Rows, int Columns>
inline __attribute__((always_inline)) void multiply_step(const bf16* a, const bf16* b, std::size_t b_stride,
                                                         float32x4_t (&acc)[Columns][Rows][kPairs]) {
  Block row[Rows];
  for (int r = 0; r < Rows; ++r) {
    row[r] = load_block(a + static_cast<std::size_t>(r) * kBlock);
  }
  for (int n = 0; n < Columns; ++n) {
    for (std::size_t p = 0; p < kPairs; ++p) {
      const Block column = load_block(b + static_cast<std::size_t>(n) * b_stride + p * kBlock);
      for (int r = 0; r < Rows; ++r) {
        acc[n][r][p] = vbfmmlaq_f32(acc[n][r][p], row[r], column);
      }
    }
  }
}

/// The sum over `steps`, an even number: a is [step][Rows][block], b is Columns times [step][4][block]. Two steps a turn,
/// since with one the loop's own instructions cost a fifth at 8 a cycle.
template <int Rows, int Columns>
inline __attribute__((always_inline)) void multiply(const bf16* a, const bf16* b, std::size_t b_stride, std::size_t steps,
                                                    float32x4_t (&acc)[Columns][Rows][kPairs]) {
  for (std::size_t step = 0; step < steps; step += 2) {
    multiply_step<Rows, Columns>(a, b, b_stride, acc);
    multiply_step<Rows, Columns>(a + Rows * kBlock, b + kPairs * kBlock, b_stride, acc);
    a += 2 * Rows * kBlock;
    b += 2 * kPairs * kBlock;
  }
}

inline float32x4_t low_pairs(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

inline float32x4_t high_pairs(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

/// Two rows of `dim` values as blocks: out[step * out_step], each 4 values of one and 4 of the other.
inline void pack_two_rows(const bf16* first, const bf16* second, std::size_t dim, bf16* out, std::size_t out_step) {
  for (std::size_t d = 0; d < dim; d += 8, out += 2 * out_step) {
    const uint64x2_t a = vreinterpretq_u64_u16(vld1q_u16(bits_at(first + d)));
    const uint64x2_t b = vreinterpretq_u64_u16(vld1q_u16(bits_at(second + d)));
    vst1q_u64(reinterpret_cast<std::uint64_t*>(out), vzip1q_u64(a, b));
    vst1q_u64(reinterpret_cast<std::uint64_t*>(out + out_step), vzip2q_u64(a, b));
  }
}

/// Four rows of values as blocks of two columns by four rows: for each 8 columns, four blocks at out[d / 8 * out_step].
inline void pack_four_values(const bf16* const (&row)[4], std::size_t dim, bf16* out, std::size_t out_step) {
  for (std::size_t d = 0; d < dim; d += 8, out += out_step) {
    const uint16x8_t a = vld1q_u16(bits_at(row[0] + d));
    const uint16x8_t b = vld1q_u16(bits_at(row[1] + d));
    const uint16x8_t c = vld1q_u16(bits_at(row[2] + d));
    const uint16x8_t e = vld1q_u16(bits_at(row[3] + d));
    auto* to = reinterpret_cast<std::uint16_t*>(out);
    vst1q_u16(to, vzip1q_u16(vzip1q_u16(a, c), vzip1q_u16(b, e)));
    vst1q_u16(to + 8, vzip2q_u16(vzip1q_u16(a, c), vzip1q_u16(b, e)));
    vst1q_u16(to + 16, vzip1q_u16(vzip2q_u16(a, c), vzip2q_u16(b, e)));
    vst1q_u16(to + 24, vzip2q_u16(vzip2q_u16(a, c), vzip2q_u16(b, e)));
  }
}

}  // namespace
}  // namespace axion
