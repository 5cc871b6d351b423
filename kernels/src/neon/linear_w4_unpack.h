// Unpacking of 4-bit weights to bf16 for the matrix-matrix kernel, a block of k of a panel ahead of the tiles.
// BFMMLA fills all four vector pipes, and unpacking with vectors costs 20 operations of them per 32 weights. So most of
// it is done with general registers, loads and stores, which the tiles leave idle, a word of 16 weights at a time
// inside their loop: a byte looks up its two weights in a table of its zero point.
// Included by files with the neon flags only.
#pragma once

#include <cstring>

#include "linear_w4_blocks.h"

namespace axion {
namespace neon {
namespace {

constexpr std::size_t kWordStepBytes = 256;  // of unpacked weights per 16 k of a panel
constexpr std::size_t kHeaderBytes = kW4PanelColumns * sizeof(float);
constexpr std::size_t kParts = 8;            // in which a group is unpacked inside the tiles' loop
constexpr float kNegligible = 0x1p-64f;      // a scale this far below its column's largest counts as zero
constexpr std::uint32_t kDead = 16;          // the row of the table for such a scale, in place of a zero point
constexpr std::uint32_t kOutOfTable = 128;

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

/// bf16 of -15..15 as low and high bytes for TBL, which gives 0 beyond its 32 entries.
struct IntegerTable {
  std::uint8_t low[32];
  std::uint8_t high[32];
};

constexpr IntegerTable integer_table() {
  IntegerTable table{};
  for (int i = 0; i < 31; ++i) {
    table.low[i] = static_cast<std::uint8_t>(small_integer_bits(i - 15) & 0xffu);
    table.high[i] = static_cast<std::uint8_t>(small_integer_bits(i - 15) >> 8);
  }
  return table;
}

/// For each zero point, and for kDead, what the 256 packed bytes stand for: the high nibble's weight first.
struct PairTable {
  std::uint32_t pair[kDead + 1][256];
};

constexpr PairTable pair_table() {
  PairTable table{};
  for (int zero = 0; zero < static_cast<int>(kDead); ++zero) {
    for (int byte = 0; byte < 256; ++byte) {
      const std::uint32_t second = small_integer_bits((byte & 15) - zero);
      table.pair[zero][byte] = second << 16 | small_integer_bits((byte >> 4) - zero);
    }
  }
  return table;
}

constexpr IntegerTable kIntegers = integer_table();
constexpr PairTable kPairs = pair_table();

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

/// The group's ratios for each pair of columns as [a b a b], and each column's row of kPairs.
inline void begin_group(const std::uint8_t* packed, Scales* scales, float* ratios, std::uint32_t* zeros) {
  for (std::size_t v = 0; v < 2; ++v) {
    const float32x4_t words = vld1q_f32(reinterpret_cast<const float*>(packed) + 4 * v);
    const uint32x4_t dead = vcageq_f32(scales->negligible[v], words);
    const float32x4_t ratio = vbslq_f32(dead, vdupq_n_f32(1.0f), vdivq_f32(scales->current[v], words));
    scales->current[v] = vbslq_f32(dead, scales->current[v], words);
    store_pairs(ratios + 8 * v, ratio);
    const uint32x4_t zero = vandq_u32(vreinterpretq_u32_f32(words), vdupq_n_u32(15));
    vst1q_u32(zeros + 4 * v, vbslq_u32(dead, vdupq_n_u32(kDead), zero));
  }
}

/// One word: the bytes of 16 of a column's k. Bytes j and j + 4 make the column's half of vector j, one at a time, so
/// that the tile's loop can spread them.
struct Word {
  std::uint64_t bytes;
  const std::uint32_t* table;
  std::uint8_t* out;

  Word() = default;
  Word(const std::uint8_t* from, std::uint32_t zero, std::uint8_t* to) : table(kPairs.pair[zero]), out(to) {
    std::memcpy(&bytes, from, sizeof bytes);
  }
  void unpack(std::size_t j) const {
    std::uint32_t first = table[bytes >> (8 * j) & 0xff];
    std::uint32_t second = table[bytes >> (8 * j + 32) & 0xff];
    __asm__("" : "+r"(first), "+r"(second));  // the compiler would gather them in a vector
    std::memcpy(out + j * (kWordStepBytes / 4), &first, sizeof first);
    std::memcpy(out + j * (kWordStepBytes / 4) + 4, &second, sizeof second);
  }
};

/// The words of a part of a group, one per 16 k of the tiles' loop, all of the same 16 k.
struct Words {
  const std::uint8_t* from;
  const std::uint32_t* zeros;
  std::uint8_t* out;

  Word at(std::size_t i) const { return {from + 8 * i, zeros[i], out + 8 * i}; }
};

/// A group at once, with vectors.
__attribute__((always_inline)) inline void unpack_group(const std::uint8_t* packed, std::size_t group,
                                                        const std::uint32_t* zeros, std::uint8_t* out) {
  const std::uint8_t spread[16] = {0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4};
  const uint8x16_t pair = vld1q_u8(spread);
  const uint8x16x2_t low = vld1q_u8_x2(kIntegers.low);
  const uint8x16x2_t high = vld1q_u8_x2(kIntegers.high);
  uint8x16_t offset[4];
  for (std::size_t v = 0; v < 2; ++v) {
    const uint32x4_t zero = vld1q_u32(zeros + 4 * v);
    const uint32x4_t dead = vceqq_u32(zero, vdupq_n_u32(kDead));
    const uint32x4_t bias = vbslq_u32(dead, vdupq_n_u32(kOutOfTable), vsubq_u32(vdupq_n_u32(15), zero));
    offset[2 * v] = vqtbl1q_u8(vreinterpretq_u8_u32(bias), pair);
    offset[2 * v + 1] = vqtbl1q_u8(vreinterpretq_u8_u32(bias), vaddq_u8(pair, vdupq_n_u8(8)));
  }
  const std::uint8_t* nibbles = packed + kHeaderBytes;
  for (std::size_t i = 0; i < group; i += 16, nibbles += 64, out += kWordStepBytes) {
    for (std::size_t c = 0; c < 4; ++c) {
      const uint8x16_t b = vld1q_u8(nibbles + 16 * c);
      const uint16x8_t first = vreinterpretq_u16_u8(vaddq_u8(vshrq_n_u8(b, 4), offset[c]));
      const uint16x8_t second = vreinterpretq_u16_u8(vaddq_u8(vandq_u8(b, vdupq_n_u8(15)), offset[c]));
      const uint8x16_t at[2] = {vreinterpretq_u8_u16(vtrn1q_u16(first, second)),
                                vreinterpretq_u8_u16(vtrn2q_u16(first, second))};
      for (std::size_t j = 0; j < 2; ++j) {
        const uint8x16_t lows = vqtbl2q_u8(low, at[j]);
        const uint8x16_t highs = vqtbl2q_u8(high, at[j]);
        vst1q_u8(out + 128 * j + 16 * c, vtrn1q_u8(lows, highs));
        vst1q_u8(out + 128 * j + 64 + 16 * c, vtrn2q_u8(lows, highs));
      }
    }
  }
}

/// The block of k that is being unpacked while the tiles multiply with the one before it.
struct Ahead {
  std::size_t group;
  std::size_t groups = 0;      // left, the one at hand included
  std::size_t part;            // of the one at hand, that comes next
  const std::uint8_t* packed;  // of the one at hand, as the following
  std::uint8_t* weights;
  const std::uint32_t* zeros;
  Scales scales;

  void begin(const std::uint8_t* from, std::size_t count, const Unpacked& to, std::uint32_t* zeros_at) {
    packed = from;
    groups = count;
    part = 0;
    weights = to.weights;
    zeros = zeros_at;
    for (std::size_t g = 0; g < count; ++g) {
      begin_group(from + g * w4_group_bytes(group), &scales, to.factors + 16 * g, zeros_at + kW4PanelColumns * g);
    }
    store_pairs(to.last, scales.current[0]);
    store_pairs(to.last + 8, scales.current[1]);
  }

  Words words() const {
    const std::size_t first = part * (group / 16);
    const std::size_t column = first % kW4PanelColumns;
    return {packed + kHeaderBytes + 8 * first, zeros + column,
            weights + first / kW4PanelColumns * kWordStepBytes + 8 * column};
  }

  void end_part() {
    if (++part == kParts) {
      end_group();
    }
  }

  void end_group() {
    packed += w4_group_bytes(group);
    weights += group * 16;
    zeros += kW4PanelColumns;
    --groups;
    part = 0;
  }

  /// What the tiles left over.
  __attribute__((always_inline)) void finish() {
    while (groups > 0) {
      unpack_group(packed, group, zeros, weights);
      end_group();
    }
  }
};

}  // namespace
}  // namespace neon
}  // namespace axion
