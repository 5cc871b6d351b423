// How linear_w4 quantizes a group of a row's activations, for up to kW4FewRows rows.
// Included by files with the neon flags only.
#pragma once

#include "linear_w4_tiles.h"

namespace axion {
namespace neon {
namespace {

// The largest |q1|. |q2| <= 17/16 of it must fit a high slice of at most 127: 17/16 * 30592 + 128 < 32768.
constexpr float kLevels = 30592.0f;
// Smaller activations than this count as that small: the scale and its inverse stay normal floats.
constexpr float kSmallest = 0x1p-100f;
// Rounding costs an activation up to 1/61184 of the group's largest. Where that is too much, that is where the mean
// of |x|, large ones counted as no more than an eighth of the largest, is below 1/16 of it, a second step follows.
constexpr float kClip = 0.125f;
constexpr float kTypical = 0.0625f;

inline uint16x8_t magnitude8(const bf16* x) {
  return vbicq_u16(vld1q_u16(reinterpret_cast<const std::uint16_t*>(x)), vdupq_n_u16(0x8000));
}

/// The largest |x|. Sizes compare like their bits, of which those of a NaN are largest.
inline float largest_of(const bf16* x, std::size_t group) {
  uint16x8_t largest[2] = {vdupq_n_u16(0), vdupq_n_u16(0)};
  for (std::size_t i = 0; i < group; i += 16) {
    largest[0] = vmaxq_u16(largest[0], magnitude8(x + i));
    largest[1] = vmaxq_u16(largest[1], magnitude8(x + i + 8));
  }
  return to_float(bf16{vmaxvq_u16(vmaxq_u16(largest[0], largest[1]))});
}

inline float largest_of(const float* x, std::size_t group) {
  float32x4_t largest[2] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
  for (std::size_t i = 0; i < group; i += 8) {
    largest[0] = vmaxq_f32(largest[0], vabsq_f32(vld1q_f32(x + i)));  // FMAX: a NaN stays
    largest[1] = vmaxq_f32(largest[1], vabsq_f32(vld1q_f32(x + i + 4)));
  }
  return vmaxvq_f32(vmaxq_f32(largest[0], largest[1]));
}

/// The sum of |x|, each counted as `clip` at most: clip is an eighth of one of them, so that bf16 holds it.
inline float clipped_sum(const bf16* x, std::size_t group, float clip) {
  const uint16x8_t most = vdupq_n_u16(to_bf16(clip).bits);
  const bfloat16x8_t ones = vreinterpretq_bf16_u16(vdupq_n_u16(to_bf16(1.0f).bits));
  float32x4_t sum[2] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
  for (std::size_t i = 0; i < group; i += 16) {
    sum[0] = vbfdotq_f32(sum[0], vreinterpretq_bf16_u16(vminq_u16(magnitude8(x + i), most)), ones);
    sum[1] = vbfdotq_f32(sum[1], vreinterpretq_bf16_u16(vminq_u16(magnitude8(x + i + 8), most)), ones);
  }
  return vaddvq_f32(vaddq_f32(sum[0], sum[1]));
}

inline float clipped_sum(const float* x, std::size_t group, float clip) {
  const float32x4_t most = vdupq_n_f32(clip);
  float32x4_t sum[2] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
  for (std::size_t i = 0; i < group; i += 8) {
    sum[0] = vaddq_f32(sum[0], vminq_f32(vabsq_f32(vld1q_f32(x + i)), most));
    sum[1] = vaddq_f32(sum[1], vminq_f32(vabsq_f32(vld1q_f32(x + i + 4)), most));
  }
  return vaddvq_f32(vaddq_f32(sum[0], sum[1]));
}

/// How a row's group is quantized.
struct Scaling {
  float scale;
  float inverse;
  bool again;  // it needs a second step
};

template <typename T>
inline Scaling scaling_of(const T* x, std::size_t group) {
  const float found = largest_of(x, group);
  const float largest = found < kSmallest ? kSmallest : found;  // a NaN stays
  const float typical = largest * kTypical * static_cast<float>(group);
  const bool again = clipped_sum(x, group, largest * kClip) < typical && largest > kSmallest;  // false for NaN
  return {largest / kLevels, kLevels / largest, again};
}

}  // namespace
}  // namespace neon
}  // namespace axion
