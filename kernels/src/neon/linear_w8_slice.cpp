#if !defined(__ARM_FEATURE_MATMUL_INT8)
#error "linear_w8 needs FEAT_I8MM: compile this file with AXION_NEON_FLAGS"
#endif

#include <arm_neon.h>

#include <limits>

#include "linear_w8_layout.h"

namespace axion::neon {
namespace {

// A group is divided by a power of two that puts its largest at 2^14 or just below: then 16 bits hold exactly every
// bf16 of at least 2^-6 of it. What rounding leaves over is the second pass, 15 bits further down.
constexpr std::uint32_t kExponentBias = 127;
constexpr std::uint32_t kFirstBits = 14;
constexpr std::uint32_t kSecondBits = 15;
// Below this exponent (2^-90) the scales would leave float's range, and the group counts as zeros.
constexpr std::uint32_t kSmallestExponent = 37;
constexpr std::uint32_t kInfinity = 0x7f80;
constexpr std::uint32_t kNotFinite = 0x100;
// A member counts as small below an eighth of 2^14. A group gets its second pass when rounding takes more than this
// share of what its small members are together: large ones may meet zeros in the weight, and must not hide the rest.
constexpr float kSmall = 0x1p11f;
constexpr float kLargestLoss = 0x1p-14f;

float power_of_two(std::uint32_t exponent) {
  return vget_lane_f32(vreinterpret_f32_u32(vdup_n_u32(exponent << 23)), 0);
}

/// A group of one row, in units of its first pass' scale.
struct Group {
  float32x4_t value[kGroup / 4];
  float scale;      ///< NaN where the row has an element that is not finite
  bool second;      ///< whether 16 bits are too few
};

/// The exponent that the largest magnitude has when its mantissa is not all ones, else the next: 255 * 2^7 as largest
/// number would not split into two signed bytes.
std::uint32_t group_exponent(const uint16x8_t (&bits)[kGroupBlocks]) {
  uint16x8_t largest = vdupq_n_u16(0);
  for (const uint16x8_t& block : bits) {
    largest = vmaxq_u16(largest, vandq_u16(block, vdupq_n_u16(0x7fff)));
  }
  const std::uint32_t top = vmaxvq_u16(largest);
  return top >= kInfinity ? kNotFinite : (top + 1) >> 7;
}

Group scaled_group(const uint16x8_t (&bits)[kGroupBlocks]) {
  Group group;
  const std::uint32_t exponent = group_exponent(bits);
  const bool usable = exponent >= kSmallestExponent && exponent != kNotFinite;
  const float inverse = usable ? power_of_two(2 * kExponentBias + kFirstBits - exponent) : 0.0f;
  group.scale = usable                    ? power_of_two(exponent - kFirstBits)
                : exponent == kNotFinite ? std::numeric_limits<float>::quiet_NaN()
                                         : 0.0f;
  float32x4_t lost = vdupq_n_f32(0.0f);
  float32x4_t small = vdupq_n_f32(0.0f);
  for (std::size_t b = 0; b < kGroupBlocks; ++b) {
    const float32x4_t wide[2] = {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(bits[b]), 16)),
                                 vreinterpretq_f32_u32(vshll_high_n_u16(bits[b], 16))};
    for (std::size_t h = 0; h < 2; ++h) {
      const float32x4_t value = vmulq_n_f32(wide[h], inverse);
      const uint32x4_t is_small = vcaltq_f32(value, vdupq_n_f32(kSmall));
      lost = vaddq_f32(lost, vabdq_f32(value, vrndnq_f32(value)));
      small = vaddq_f32(small, vabsq_f32(vreinterpretq_f32_u32(vandq_u32(is_small, vreinterpretq_u32_f32(value)))));
      group.value[2 * b + h] = value;
    }
  }
  group.second = vaddvq_f32(lost) > kLargestLoss * vaddvq_f32(small);
  return group;
}

/// Split 8 whole numbers of at most 127 * 256 into bytes, 256 * high + low, [high][low].
void store_slices(std::int8_t* out, int32x4_t first, int32x4_t last) {
  const int16x8_t whole = vcombine_s16(vmovn_s32(first), vmovn_s32(last));
  const int8x8_t high = vrshrn_n_s16(whole, 8);  // rounds to the nearest multiple of 256, so that low is signed
  const int8x8_t low = vmovn_s16(whole);
  vst1q_s8(out, vcombine_s8(high, low));
}

/// Slices of one row of the tile for its first or second pass; `step` is from one block of it to the next.
template <bool Second>
void store_pass(const Group& group, std::int8_t* out, std::size_t step) {
  for (std::size_t b = 0; b < kGroupBlocks; ++b, out += step) {
    int32x4_t whole[2];
    for (std::size_t h = 0; h < 2; ++h) {
      const float32x4_t value = group.value[2 * b + h];
      if constexpr (Second) {
        const float32x4_t left = vsubq_f32(value, vrndnq_f32(value));
        whole[h] = vcvtnq_s32_f32(vmulq_n_f32(left, static_cast<float>(1u << kSecondBits)));
      } else {
        whole[h] = vcvtnq_s32_f32(value);
      }
    }
    store_slices(out, whole[0], whole[1]);
  }
}

/// The `count` elements from `x` on, and zeros for the rest of a group.
void load_group(const bf16* x, std::size_t count, uint16x8_t (&bits)[kGroupBlocks]) {
  const auto* raw = reinterpret_cast<const std::uint16_t*>(x);
  if (count >= kGroup) {
    for (std::size_t b = 0; b < kGroupBlocks; ++b) {
      bits[b] = vld1q_u16(raw + b * kBlock);
    }
    return;
  }
  std::uint16_t padded[kGroup] = {};
  for (std::size_t p = 0; p < count; ++p) {
    padded[p] = raw[p];
  }
  for (std::size_t b = 0; b < kGroupBlocks; ++b) {
    bits[b] = vld1q_u16(padded + b * kBlock);
  }
}

template <bool Second>
void store_tile_pass(const Group* groups, std::size_t rows, std::size_t index, W8Rows& sliced) {
  W8Pass& pass = sliced.passes[sliced.count];
  std::int8_t* slices = sliced.slices + sliced.count * pass_bytes(rows);
  pass.group = index;
  for (std::size_t r = 0; r < rows; ++r) {
    const float second = groups[r].second ? 1.0f / static_cast<float>(1u << kSecondBits) : 0.0f;
    pass.scale[r] = groups[r].scale * (Second ? second : 1.0f);
    store_pass<Second>(groups[r], slices + r * kPairBlock, rows * kPairBlock);
  }
  ++sliced.count;
}

}  // namespace

W8Rows slice_w8_rows(const bf16* x, std::size_t stride, std::size_t rows, std::size_t k, void* memory) {
  auto* slices = static_cast<std::int8_t*>(memory);
  W8Rows sliced{reinterpret_cast<W8Pass*>(slices + most_passes(k) * pass_bytes(rows)), slices, 0};
  Group groups[kTileRows];
  for (std::size_t index = 0; index < groups_of(k); ++index) {
    bool second = false;
    for (std::size_t r = 0; r < rows; ++r) {
      uint16x8_t bits[kGroupBlocks];
      load_group(x + r * stride + index * kGroup, k - index * kGroup, bits);
      groups[r] = scaled_group(bits);
      second = second || groups[r].second;
    }
    store_tile_pass<false>(groups, rows, index, sliced);
    if (second) {
      store_tile_pass<true>(groups, rows, index, sliced);
    }
  }
  return sliced;
}

}  // namespace axion::neon
