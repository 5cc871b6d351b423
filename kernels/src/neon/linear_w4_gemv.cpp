// One row: USMMLA takes two columns' bytes by the row's two slices. 12 accumulators for the 24 columns of three
// panels hide its latency and share the loads of activations; columns come out the same one panel at a time.
#include "linear_w4_tiles.h"

namespace axion {
namespace neon {
namespace {

constexpr std::size_t kPairs = kW4PanelColumns / 2;
constexpr std::size_t kVectors = kW4PanelColumns / 4;
constexpr std::size_t kWordBytes = kW4PanelColumns * sizeof(float);

/// sums += the group's integers times its scales. Integers are exact up to the conversion: unsigned arithmetic wraps
/// where it must, and the result fits.
template <std::size_t P>
inline void add_group(const uint32x4_t (&acc)[P][kPairs], const std::uint8_t* w, std::size_t panel_bytes,
                      const std::uint8_t* step, float32x4_t (&sums)[P][kVectors]) {
  const float32x4_t scale = vld1q_f32(reinterpret_cast<const float*>(step + kStepGroupBytes));
  const uint32x4_t minus_sum = vld1q_u32(reinterpret_cast<const std::uint32_t*>(step + kStepGroupBytes + 16));
  const uint32x4_t high_unit = vdupq_n_u32(256);
  const uint32x4_t zero_mask = vdupq_n_u32(15);
  for (std::size_t p = 0; p < P; ++p) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      const uint32x4_t words = vld1q_u32(reinterpret_cast<const std::uint32_t*>(w + p * panel_bytes + 16 * v));
      const uint32x4_t high = vuzp1q_u32(acc[p][2 * v], acc[p][2 * v + 1]);
      const uint32x4_t low = vuzp2q_u32(acc[p][2 * v], acc[p][2 * v + 1]);
      uint32x4_t total = vmlaq_u32(low, high, high_unit);
      total = vmlaq_u32(total, vandq_u32(words, zero_mask), minus_sum);
      const float32x4_t value = vmulq_f32(vcvtq_f32_s32(vreinterpretq_s32_u32(total)), scale);
      sums[p][v] = vfmaq_f32(sums[p][v], value, vreinterpretq_f32_u32(words));
    }
  }
}

template <std::size_t P, std::size_t Group>
inline void gemv(const std::uint8_t* packed, const std::uint8_t* prepared, std::size_t k, float* out) {
  const std::size_t panel_bytes = w4_panel_bytes(k, Group);
  float32x4_t sums[P][kVectors] = {};
  const std::uint8_t* step = prepared;
  std::int32_t next;
  do {
    next = step_header(step).next;
    const std::uint8_t* const w = packed + step_header(step).group * w4_group_bytes(Group);
    const std::int8_t* a = reinterpret_cast<const std::int8_t*>(step + kStepGroupBytes + kStepScaleBytes);
    uint32x4_t acc[P][kPairs] = {};
    for (std::size_t i = 0; i < Group / 16; ++i, a += 32) {
      const int8x16_t a1 = vld1q_s8(a);
      const int8x16_t a2 = vld1q_s8(a + 16);
      for (std::size_t p = 0; p < P; ++p) {
        for (std::size_t c = 0; c < kPairs; ++c) {
          const uint8x16_t b = vld1q_u8(w + p * panel_bytes + kWordBytes + (i * kPairs + c) * 16);
          int32x4_t sum = vusmmlaq_s32(vreinterpretq_s32_u32(acc[p][c]), b, a1);
          sum = vusmmlaq_s32(sum, vshlq_n_u8(b, 4), a2);
          acc[p][c] = vreinterpretq_u32_s32(sum);
        }
      }
    }
    add_group(acc, w, panel_bytes, step, sums);
    step += next;
  } while (next != 0);
  for (std::size_t p = 0; p < P; ++p) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      vst1q_f32(out + p * kW4PanelColumns + 4 * v, sums[p][v]);
    }
  }
}

template <std::size_t P>
inline void gemv(const std::uint8_t* packed, const std::uint8_t* prepared, std::size_t k, std::size_t group,
                 float* out) {
  if (group == 128) {
    gemv<P, 128>(packed, prepared, k, out);
  } else if (group == 64) {
    gemv<P, 64>(packed, prepared, k, out);
  } else {
    gemv<P, 32>(packed, prepared, k, out);
  }
}

}  // namespace

void w4_gemv_panel(const std::uint8_t* packed, const std::uint8_t* prepared, std::size_t k, std::size_t group,
                   float* sums) {
  gemv<1>(packed, prepared, k, group, sums);
}

void w4_gemv_three_panels(const std::uint8_t* packed, const std::uint8_t* prepared, std::size_t k, std::size_t group,
                          float* sums) {
  gemv<3>(packed, prepared, k, group, sums);
}

}  // namespace neon
}  // namespace axion
