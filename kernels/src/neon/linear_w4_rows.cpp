// Two, four, six or eight rows: USMMLA takes two columns' bytes by one slice of two rows, so that both slices of an
// output end up in the same lane. 16 accumulators: 8 columns of up to 4 rows, or 4 columns of up to 8.
#include "linear_w4_tiles.h"

namespace axion {
namespace neon {
namespace {

constexpr std::size_t kPairs = kW4PanelColumns / 2;
constexpr std::size_t kWordBytes = kW4PanelColumns * sizeof(float);

/// R pairs of rows by C pairs of columns.
template <std::size_t R, std::size_t C>
struct Slices {
  int32x4_t high[R][C] = {};
  int32x4_t low[R][C] = {};
};

template <std::size_t R, std::size_t C>
inline void multiply(Slices<R, C>* acc, const uint8x16_t (&b)[C], const std::int8_t* a) {
  for (std::size_t r = 0; r < R; ++r) {
    const int8x16_t high = vld1q_s8(a + 32 * r);
    const int8x16_t low = vld1q_s8(a + 32 * r + 16);
    for (std::size_t c = 0; c < C; ++c) {
      acc->high[r][c] = vusmmlaq_s32(acc->high[r][c], b[c], high);
      acc->low[r][c] = vusmmlaq_s32(acc->low[r][c], b[c], low);
    }
  }
}

template <std::size_t R, std::size_t C>
inline void add_group(const Slices<R, C>& acc, const std::uint8_t* words_at, const std::uint8_t* step,
                      float32x4_t (&sums)[R][C]) {
  const uint32x4_t high_unit = vdupq_n_u32(256);
  const uint32x4_t zero_mask = vdupq_n_u32(15);
  for (std::size_t v = 0; v < C / 2; ++v) {
    const uint32x4_t words = vld1q_u32(reinterpret_cast<const std::uint32_t*>(words_at + 16 * v));
    const uint32x4_t twice[2] = {vzip1q_u32(words, words), vzip2q_u32(words, words)};
    for (std::size_t c = 0; c < 2; ++c) {
      const uint32x4_t zero = vandq_u32(twice[c], zero_mask);
      for (std::size_t r = 0; r < R; ++r) {
        const std::uint8_t* row_words = step + kStepGroupBytes + r * kStepScaleBytes;
        const float32x4_t scale = vld1q_f32(reinterpret_cast<const float*>(row_words));
        const uint32x4_t minus_sum = vld1q_u32(reinterpret_cast<const std::uint32_t*>(row_words + 16));
        uint32x4_t total = vreinterpretq_u32_s32(acc.low[r][2 * v + c]);
        total = vmlaq_u32(total, vreinterpretq_u32_s32(acc.high[r][2 * v + c]), high_unit);
        total = vmlaq_u32(total, zero, minus_sum);
        const float32x4_t value = vmulq_f32(vcvtq_f32_s32(vreinterpretq_s32_u32(total)), scale);
        sums[r][2 * v + c] = vfmaq_f32(sums[r][2 * v + c], value, vreinterpretq_f32_u32(twice[c]));
      }
    }
  }
}

/// Columns [first, first + 2 * C) of a panel.
template <std::size_t R, std::size_t C>
inline void rows(const std::uint8_t* packed, const std::uint8_t* prepared, std::size_t group, std::size_t first,
                 float* out) {
  float32x4_t sums[R][C] = {};
  const std::uint8_t* step = prepared;
  std::int32_t next;
  do {
    next = step_header(step).next;
    const std::uint8_t* const words = packed + step_header(step).group * w4_group_bytes(group);
    const std::uint8_t* w = words + kWordBytes + first * 8;
    const std::int8_t* a = reinterpret_cast<const std::int8_t*>(step + kStepGroupBytes + R * kStepScaleBytes);
    Slices<R, C> acc;
    for (std::size_t i = 0; i < group / 16; ++i, w += 16 * kPairs, a += 64 * R) {
      uint8x16_t b[C];
      for (std::size_t c = 0; c < C; ++c) {
        b[c] = vld1q_u8(w + 16 * c);
      }
      multiply(&acc, b, a);
      for (std::size_t c = 0; c < C; ++c) {
        b[c] = vshlq_n_u8(b[c], 4);
      }
      multiply(&acc, b, a + 32 * R);
    }
    add_group(acc, words + first * sizeof(float), step, sums);
    step += next;
  } while (next != 0);
  for (std::size_t r = 0; r < R; ++r) {
    for (std::size_t c = 0; c < C; c += 2) {
      float* at = out + 2 * r * kW4PanelColumns + first + 2 * c;
      vst1q_f32(at, vuzp1q_f32(sums[r][c], sums[r][c + 1]));
      vst1q_f32(at + kW4PanelColumns, vuzp2q_f32(sums[r][c], sums[r][c + 1]));
    }
  }
}

}  // namespace

void w4_rows_panel(const std::uint8_t* packed, const std::uint8_t* prepared, std::size_t m, std::size_t group,
                   float* sums) {
  switch (row_pairs(m)) {
    case 1:
      return rows<1, 4>(packed, prepared, group, 0, sums);
    case 2:
      return rows<2, 4>(packed, prepared, group, 0, sums);
    case 3:
      rows<3, 2>(packed, prepared, group, 0, sums);
      return rows<3, 2>(packed, prepared, group, 4, sums);
    default:
      rows<4, 2>(packed, prepared, group, 0, sums);
      return rows<4, 2>(packed, prepared, group, 4, sums);
  }
}

}  // namespace neon
}  // namespace axion
