// Activations of a set of rows to 16-bit fixed point; the layout and its reason are in linear_w4_tiles.h.
#include <cstring>

#include "linear_w4_scaling.h"

namespace axion {
namespace neon {
namespace {

constexpr std::size_t kMaxGroup = 128;
// 1.5 * 2^23: added to a small float, it leaves the nearest integer in the low bits. Conversions run once a cycle.
constexpr float kMagic = 12582912.0f;

struct Eight {
  float32x4_t low;
  float32x4_t high;
};

inline Eight load8(const float* x) { return {vld1q_f32(x), vld1q_f32(x + 4)}; }
inline Eight load8(const bf16* x) {
  const uint16x8_t bits = vld1q_u16(reinterpret_cast<const std::uint16_t*>(x));
  const uint16x8_t zeros = vdupq_n_u16(0);
  return {vreinterpretq_f32_u16(vzip1q_u16(zeros, bits)), vreinterpretq_f32_u16(vzip2q_u16(zeros, bits))};
}

/// Four of q1 and the four of q2 beside them, each plus kMagic.
struct Quantized {
  float32x4_t q1;
  float32x4_t q2;
};

inline Quantized quantize4(float32x4_t x1, float32x4_t x2, float32x4_t inverse) {
  const float32x4_t magic = vdupq_n_f32(kMagic);
  const float32x4_t q1 = vaddq_f32(vmulq_f32(x1, inverse), magic);
  const float32x4_t rest = vfmsq_n_f32(vmulq_f32(x2, inverse), vsubq_f32(q1, magic), 0.0625f);
  return {q1, vaddq_f32(rest, magic)};
}

/// What quantizing leaves over.
template <typename T>
inline void leftover(const T* x, std::size_t group, const Scaling& by, float* rest) {
  const float32x4_t magic = vdupq_n_f32(kMagic);
  const float32x4_t inverse = vdupq_n_f32(by.inverse);
  for (std::size_t i = 0; i < group; i += i % 16 == 0 ? 4 : 12) {
    const float32x4_t x1 = load4(x + i);
    const float32x4_t x2 = load4(x + i + 8);
    const Quantized q = quantize4(x1, x2, inverse);
    const float32x4_t f1 = vsubq_f32(q.q1, magic);
    const float32x4_t f2 = vfmaq_n_f32(vsubq_f32(q.q2, magic), f1, 0.0625f);
    vst1q_f32(rest + i, vfmsq_n_f32(x1, f1, by.scale));
    vst1q_f32(rest + i + 8, vfmsq_n_f32(x2, f2, by.scale));
  }
}

/// A row's place in a step.
struct Place {
  std::uint8_t* words;   // scale and sum
  std::uint8_t* slices;  // the high one of q1; that of q2 is `half` bytes on
  std::size_t low;       // from a high slice to the low one
  std::size_t half;      // of what 16 k take
  bool alone;

  Place(std::uint8_t* step, std::size_t row, std::size_t m)
      : words(step + kStepGroupBytes + row / 2 * kStepScaleBytes),
        slices(step + kStepGroupBytes + row_pairs(m) * kStepScaleBytes),
        low(m == 1 ? 8 : 16),
        half(m == 1 ? 16 : 32 * row_pairs(m)),
        alone(m == 1) {
    if (!alone) {
      words += row % 2 * 4;
      slices += row / 2 * 32 + row % 2 * 8;
    }
  }

  void store_words(float scale, std::int32_t sum) const {
    for (std::size_t i = 0; i < 16; i += alone ? 4 : 8) {
      std::memcpy(words + i, &scale, sizeof scale);
      std::memcpy(words + 16 + i, &sum, sizeof sum);
    }
  }

  /// q = 256 * high + low, low in [-128, 127].
  void store_slices(std::uint8_t* at, int16x8_t q) const {
    vst1_s8(reinterpret_cast<std::int8_t*>(at), vrshrn_n_s16(q, 8));
    vst1_s8(reinterpret_cast<std::int8_t*>(at + low), vmovn_s16(q));
  }
};

inline int16x8_t narrowed(float32x4_t low, float32x4_t high) {  // the low halves of kMagic's bits are 0
  return vuzp1q_s16(vreinterpretq_s16_f32(low), vreinterpretq_s16_f32(high));
}

template <typename T>
inline void quantize(const T* x, std::size_t group, const Scaling& by, const Place& place) {
  const float32x4_t inverse = vdupq_n_f32(by.inverse);
  int32x4_t sum1 = vdupq_n_s32(0);
  int32x4_t sum2 = vdupq_n_s32(0);
  std::uint8_t* at = place.slices;
  for (std::size_t i = 0; i < group; i += 16, at += 2 * place.half) {
    const Eight x1 = load8(x + i);
    const Eight x2 = load8(x + i + 8);
    const Quantized low = quantize4(x1.low, x2.low, inverse);
    const Quantized high = quantize4(x1.high, x2.high, inverse);
    const int16x8_t q1 = narrowed(low.q1, high.q1);
    const int16x8_t q2 = narrowed(low.q2, high.q2);
    sum1 = vpadalq_s16(sum1, q1);
    sum2 = vpadalq_s16(sum2, q2);
    place.store_slices(at, q1);
    place.store_slices(at + place.half, q2);
  }
  const int32x4_t sum = vaddq_s32(sum1, vshlq_n_s32(vaddq_s32(sum1, sum2), 4));
  place.store_words(by.scale * 0.0625f, -vaddvq_s32(sum));
}

inline void begin_step(std::uint8_t* step, std::size_t g, const std::uint8_t* next) {
  const StepHeader header{static_cast<std::uint32_t>(g), static_cast<std::int32_t>(next - step)};
  std::memcpy(step, &header, sizeof header);
}

}  // namespace

template <typename T>
void w4_prepare_steps(const LinearW4<T>& call, Range groups) {
  const LinearW4<T> a = call;  // what is stored might change the caller's, as far as the compiler knows
  const std::size_t group = w4_group(a.k, a.group_size);
  const std::size_t bytes = step_bytes(a.m, group);
  const std::size_t all = a.k / group;
  std::uint8_t* first = static_cast<std::uint8_t*>(a.prepared) + groups.begin * bytes;
  Scaling next = scaling_of(a.x + groups.begin * group, group);
  for (std::size_t g = groups.begin; g < groups.end; ++g, first += bytes) {
    std::uint8_t* const second = first + all * bytes;
    const bool is_last = g + 1 == all;
    bool again = false;
    begin_step(first, g, is_last ? first : first + bytes);
    for (std::size_t r = 0; r < a.m; ++r) {
      const T* const x = a.x + r * a.x_stride + g * group;
      const Scaling by = next;
      if (r + 1 < a.m) {  // ahead, so that its latency is hidden
        next = scaling_of(x + a.x_stride, group);
      } else if (g + 1 < groups.end) {
        next = scaling_of(a.x + (g + 1) * group, group);
      }
      quantize(x, group, by, Place(first, r, a.m));
      if (by.again) {
        if (!again) {  // other rows are zeros in it
          std::memset(second, 0, bytes);
          begin_step(first, g, second);
          begin_step(second, g, is_last ? second : first + bytes);
          again = true;
        }
        float rest[kMaxGroup];
        leftover(x, group, by, rest);
        quantize(rest, group, scaling_of(rest, group), Place(second, r, a.m));
      }
    }
  }
}

template void w4_prepare_steps(const LinearW4<float>&, Range);
template void w4_prepare_steps(const LinearW4<bf16>&, Range);

}  // namespace neon
}  // namespace axion
