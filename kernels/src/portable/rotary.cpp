#include "../rotary_tokens.h"

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

struct RotaryHead {
  template <typename T, typename C>
  static void rotate_split(const T* x, T* y, const C* cosines, std::size_t pairs) {
    rotate_head(x, y, cosines, pairs, pairs, 1);
  }

  template <typename T, typename C>
  static void rotate_interleaved(const T* x, T* y, const C* cosines, std::size_t pairs) {
    rotate_head(x, y, cosines, pairs, 1, 2);
  }
};

}  // namespace

const RotaryKernels rotary_kernels = kRotaryTokens<RotaryHead>;

}  // namespace axion::portable
