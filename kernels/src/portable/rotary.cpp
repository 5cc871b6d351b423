#include "axion/rotary.h"

namespace axion::portable {
namespace {

/// One head. The elements of a pair are `distance` apart, pairs `step` apart.
template <typename T, typename C>
void rotate_head(const T* x, T* y, const C* cosines, std::size_t pairs, std::size_t distance, std::size_t step) {
  const C* sines = cosines + pairs;
  for (std::size_t i = 0; i < pairs; ++i) {
    const float a = to_float(x[i * step]);
    const float b = to_float(x[i * step + distance]);
    const float c = to_float(cosines[i]);
    const float s = to_float(sines[i]);
    y[i * step] = from_float<T>(a * c - b * s);
    y[i * step + distance] = from_float<T>(b * c + a * s);
  }
}

template <typename T, typename C>
void rotate_token(const Rotary<T, C>& a, const T* x, T* y, std::size_t heads, const C* cosines) {
  const std::size_t pairs = a.rot_dim / 2;
  for (std::size_t head = 0; head < heads; ++head, x += a.head_size, y += a.head_size) {
    if (a.is_neox) {
      rotate_head(x, y, cosines, pairs, pairs, 1);
    } else {
      rotate_head(x, y, cosines, pairs, 1, 2);
    }
    if (x != y) {
      std::memcpy(y + a.rot_dim, x + a.rot_dim, (a.head_size - a.rot_dim) * sizeof(T));
    }
  }
}

template <typename T, typename C>
void rotary(const Rotary<T, C>& a, Range tokens) {
  for (std::size_t t = tokens.begin; t < tokens.end; ++t) {
    const C* cosines = a.cos_sin + static_cast<std::size_t>(a.positions[t]) * a.rot_dim;
    rotate_token(a, a.query + t * a.query_stride, a.query_out + t * a.query_out_stride, a.heads, cosines);
    if (a.kv_heads > 0) {
      rotate_token(a, a.key + t * a.key_stride, a.key_out + t * a.key_out_stride, a.kv_heads, cosines);
    }
  }
}

}  // namespace

const RotaryKernels rotary_kernels = {
    rotary<float, float>,
    rotary<float, bf16>,
    rotary<bf16, float>,
    rotary<bf16, bf16>,
};

}  // namespace axion::portable
