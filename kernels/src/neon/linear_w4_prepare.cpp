// Activations of more than kW4FewRows rows in the order that the tiles read them.
#include "linear_w4_blocks.h"

namespace axion {
namespace neon {
namespace {

constexpr std::size_t kVector = 8;

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

/// 16 k of two rows, as four vectors that are `stride` apart.
inline void store_pair(std::uint16_t* out, std::size_t stride, const Slices8 (&rows)[2][2], std::size_t slice) {
  uint32x4_t even[2];  // [0 8][2 10][4 12][6 14]
  uint32x4_t odd[2];
  for (std::size_t j = 0; j < 2; ++j) {
    even[j] = vreinterpretq_u32_u16(vtrn1q_u16(rows[j][0].slice[slice], rows[j][1].slice[slice]));
    odd[j] = vreinterpretq_u32_u16(vtrn2q_u16(rows[j][0].slice[slice], rows[j][1].slice[slice]));
  }
  vst1q_u16(out, vreinterpretq_u16_u32(vuzp1q_u32(even[0], even[1])));
  vst1q_u16(out + stride, vreinterpretq_u16_u32(vuzp1q_u32(odd[0], odd[1])));
  vst1q_u16(out + 2 * stride, vreinterpretq_u16_u32(vuzp2q_u32(even[0], even[1])));
  vst1q_u16(out + 3 * stride, vreinterpretq_u16_u32(vuzp2q_u32(odd[0], odd[1])));
}

/// Rows `row` and `row` + 1, of which `Rows` exist. The others are zeros.
template <typename T, std::size_t Rows>
void prepare_pair(const LinearW4<T>& a, std::size_t row) {
  const RowTile tile = row_tile(row, w4_row_blocks(a.m));
  auto* out = static_cast<std::uint16_t*>(a.prepared) + tile.row * a.k * kSlices<T> + (row - tile.row) / 2 * kVector;
  const std::size_t stride = tile.pairs * kVector;
  const T* const x = a.x + row * a.x_stride;
  for (std::size_t i = 0; i < a.k; i += 16) {
    Slices8 rows[2][2] = {};
    for (std::size_t j = 0; j < Rows; ++j) {
      rows[j][0] = load8(x + j * a.x_stride + i);
      rows[j][1] = load8(x + j * a.x_stride + i + 8);
    }
    for (std::size_t s = 0; s < kSlices<T>; ++s, out += 4 * stride) {
      store_pair(out, stride, rows, s);
    }
  }
}

}  // namespace

template <typename T>
void w4_prepare_blocks(const LinearW4<T>& a, Range blocks) {
  for (std::size_t row = blocks.begin * kW4RowBlock; row < blocks.end * kW4RowBlock; row += 2) {
    if (row + 1 < a.m) {
      prepare_pair<T, 2>(a, row);
    } else if (row < a.m) {
      prepare_pair<T, 1>(a, row);
    } else {
      prepare_pair<T, 0>(a, row);
    }
  }
}

template void w4_prepare_blocks(const LinearW4<float>&, Range);
template void w4_prepare_blocks(const LinearW4<bf16>&, Range);

}  // namespace neon
}  // namespace axion
