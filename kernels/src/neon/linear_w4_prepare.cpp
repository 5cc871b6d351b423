// Activations of more than 8 rows into blocks of 8 rows in the order that the tiles read them.
#include "linear_w4_blocks.h"

namespace axion {
namespace neon {
namespace {

struct Slices8 {
  uint16x8_t slice[2];
};

/// Eight values as bf16; for float, also what rounding to bf16 left over.
inline Slices8 load8(const bf16* x) {
  const uint16x8_t bits = vld1q_u16(reinterpret_cast<const std::uint16_t*>(x));
  return {{bits, bits}};
}

inline Slices8 load8(const float* x) {
  Slices8 result;
  const float32x4_t a = vld1q_f32(x);
  const float32x4_t b = vld1q_f32(x + 4);
  const bfloat16x8_t high = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(a), b);
  const float32x4_t rest_a = vsubq_f32(a, vcvtq_low_f32_bf16(high));
  const float32x4_t rest_b = vsubq_f32(b, vcvtq_high_f32_bf16(high));
  result.slice[0] = vreinterpretq_u16_bf16(high);
  result.slice[1] = vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(rest_a), rest_b));
  return result;
}

}  // namespace

template <typename T>
void w4_prepare_blocks(const LinearW4<T>& a, Range blocks) {
  for (std::size_t block = blocks.begin; block < blocks.end; ++block) {
    auto* out = static_cast<std::uint16_t*>(a.prepared) + block * kW4RowBlock * a.k * kSlices<T>;
    for (std::size_t i = 0; i < a.k; i += 8, out += 64 * kSlices<T>) {
      for (std::size_t r = 0; r < 4; ++r) {
        Slices8 rows[2] = {};  // rows beyond the last are zeros
        for (std::size_t j = 0; j < 2; ++j) {
          const std::size_t row = block * kW4RowBlock + 2 * r + j;
          if (row < a.m) {
            rows[j] = load8(a.x + row * a.x_stride + i);
          }
        }
        for (std::size_t s = 0; s < kSlices<T>; ++s) {
          vst1q_u16(out + s * 64 + 8 * r, vuzp1q_u16(rows[0].slice[s], rows[1].slice[s]));
          vst1q_u16(out + s * 64 + 32 + 8 * r, vuzp2q_u16(rows[0].slice[s], rows[1].slice[s]));
        }
      }
    }
  }
}

template void w4_prepare_blocks(const LinearW4<float>&, Range);
template void w4_prepare_blocks(const LinearW4<bf16>&, Range);

}  // namespace neon
}  // namespace axion
