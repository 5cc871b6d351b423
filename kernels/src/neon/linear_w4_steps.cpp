// Activations of up to 8 rows to 16-bit fixed point; the layout and its reason are in linear_w4_tiles.h.
#include "linear_w4_tiles.h"

#include <cmath>
#include <cstring>

namespace axion {
namespace neon {
namespace {

constexpr std::size_t kMaxGroup = 128;
// The largest |q1|. |q2| <= 17/16 of it must fit a high slice of at most 127: 17/16 * 30592 + 128 < 32768.
constexpr float kLevels = 30592.0f;
// Smaller activations than this count as that small: the scale and its inverse stay normal floats.
constexpr float kSmallest = 0x1p-100f;
// Rounding costs an activation up to 1/61184 of the group's largest. Where that is too much, that is where the mean
// of |x|, large ones counted as no more than an eighth of the largest, is below 1/16 of it, a second step follows.
constexpr float kClip = 0.125f;
constexpr float kTypical = 0.0625f;

struct RowStep {
  float scale;  // divided by 16
  std::int32_t minus_sum;
  std::int16_t q[kMaxGroup];  // per 16 k, 8 times q1 and 8 times q2
};

bool needs_second_step(const float* x, std::size_t group, float largest) {
  float32x4_t sum = vdupq_n_f32(0.0f);
  const float32x4_t clip = vdupq_n_f32(largest * kClip);
  for (std::size_t i = 0; i < group; i += 4) {
    sum = vaddq_f32(sum, vminq_f32(vabsq_f32(vld1q_f32(x + i)), clip));
  }
  return vaddvq_f32(sum) < largest * kTypical * static_cast<float>(group);  // false for NaN
}

/// Four of q1 and the four of q2 beside them; x becomes what rounding left over.
inline int16x8_t quantize4(float* x, float32x4_t scale, float32x4_t inverse, int32x4_t* sum) {
  const float32x4_t sixteenth = vdupq_n_f32(0.0625f);
  const float32x4_t x1 = vld1q_f32(x);
  const float32x4_t x2 = vld1q_f32(x + 8);
  const int32x4_t q1 = vcvtnq_s32_f32(vmulq_f32(x1, inverse));
  const float32x4_t f1 = vcvtq_f32_s32(q1);
  const int32x4_t q2 = vcvtnq_s32_f32(vsubq_f32(vmulq_f32(x2, inverse), vmulq_f32(f1, sixteenth)));
  const float32x4_t f2 = vfmaq_f32(vcvtq_f32_s32(q2), f1, sixteenth);
  vst1q_f32(x, vfmsq_f32(x1, f1, scale));
  vst1q_f32(x + 8, vfmsq_f32(x2, f2, scale));
  *sum = vaddq_s32(*sum, vaddq_s32(q1, vshlq_n_s32(vaddq_s32(q1, q2), 4)));
  return vcombine_s16(vmovn_s32(q1), vmovn_s32(q2));
}

float largest_of(const float* x, std::size_t group) {
  float32x4_t largest = vdupq_n_f32(kSmallest);
  for (std::size_t i = 0; i < group; i += 4) {
    largest = vmaxq_f32(largest, vabsq_f32(vld1q_f32(x + i)));  // FMAX: a NaN stays
  }
  return vmaxvq_f32(largest);
}

void quantize(float* x, std::size_t group, float largest, RowStep* out) {
  const float scale = largest / kLevels;
  const float32x4_t scales = vdupq_n_f32(scale);
  const float32x4_t inverse = vdupq_n_f32(kLevels / largest);
  int32x4_t sum = vdupq_n_s32(0);
  for (std::size_t i = 0; i < group; i += 16) {
    const int16x8_t a = quantize4(x + i, scales, inverse, &sum);
    const int16x8_t b = quantize4(x + i + 4, scales, inverse, &sum);
    vst1q_s16(out->q + i, vcombine_s16(vget_low_s16(a), vget_low_s16(b)));
    vst1q_s16(out->q + i + 8, vcombine_s16(vget_high_s16(a), vget_high_s16(b)));
  }
  out->scale = scale * 0.0625f;
  out->minus_sum = -vaddvq_s32(sum);
}

/// Write row `row`'s part of a step: q = 256 * high + low, low in [-128, 127].
void store_row(std::uint8_t* step, std::size_t row, std::size_t m, std::size_t group, const RowStep& from) {
  const std::size_t pairs = row_pairs(m);
  std::uint8_t* words = step + kStepGroupBytes + row / 2 * kStepScaleBytes;
  for (std::size_t i = m == 1 ? 0 : row % 2; i < 4; i += m == 1 ? 1 : 2) {
    std::memcpy(words + i * 4, &from.scale, 4);
    std::memcpy(words + 16 + i * 4, &from.minus_sum, 4);
  }
  std::uint8_t* out = step + kStepGroupBytes + pairs * kStepScaleBytes;
  const std::size_t half = m == 1 ? 16 : 32 * pairs;  // bytes of q1, or of q2, per 16 k
  const std::size_t low = m == 1 ? 8 : 16;            // from the high slice to the low one
  out += m == 1 ? 0 : row / 2 * 32 + row % 2 * 8;
  for (std::size_t i = 0; i < group; i += 8, out += half) {
    const int16x8_t q = vld1q_s16(from.q + i);
    vst1_s8(reinterpret_cast<std::int8_t*>(out), vrshrn_n_s16(q, 8));
    vst1_s8(reinterpret_cast<std::int8_t*>(out + low), vmovn_s16(q));
  }
}

std::uint8_t* begin_step(std::uint8_t* step, std::size_t g, std::size_t bytes) {
  const auto index = static_cast<std::uint32_t>(g);
  std::memset(step, 0, bytes);
  std::memcpy(step, &index, sizeof index);
  return step + bytes;
}

}  // namespace

template <typename T>
void w4_prepare_steps(const LinearW4<T>& a) {
  const std::size_t group = w4_group(a.k, a.group_size);
  const std::size_t bytes = step_bytes(a.m, group);
  auto* const begin = static_cast<std::uint8_t*>(a.prepared);
  std::uint8_t* step = begin + kStepsHeaderBytes;
  float x[kMaxGroup];
  RowStep row;
  for (std::size_t g = 0; g < a.k / group; ++g) {
    std::uint8_t* const first = step;
    std::uint8_t* const second = step = begin_step(first, g, bytes);
    for (std::size_t r = 0; r < a.m; ++r) {
      for (std::size_t i = 0; i < group; i += 4) {
        vst1q_f32(x + i, load4(a.x + r * a.x_stride + g * group + i));
      }
      const float largest = largest_of(x, group);
      const bool again = needs_second_step(x, group, largest);
      quantize(x, group, largest, &row);
      store_row(first, r, a.m, group, row);
      if (again && largest > kSmallest) {
        step = step == second ? begin_step(second, g, bytes) : step;
        quantize(x, group, largest_of(x, group), &row);
        store_row(second, r, a.m, group, row);
      }
    }
  }
  const auto count = static_cast<std::uint32_t>((step - begin - kStepsHeaderBytes) / bytes);
  std::memcpy(begin, &count, sizeof count);
}

template void w4_prepare_steps(const LinearW4<float>&);
template void w4_prepare_steps(const LinearW4<bf16>&);

}  // namespace neon
}  // namespace axion
