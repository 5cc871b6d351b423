#include "../softmax_rows.h"
#include "exp_neon.h"

namespace axion::neon {
namespace {

constexpr std::size_t kUnroll = 4 * kBlock;

struct SoftmaxRow {
  template <typename T>
  static float maximum(const T* x, std::size_t size) {
    float32x4_t m[4];
    for (float32x4_t& lane : m) {
      lane = vdupq_n_f32(-kInfinity);
    }
    std::size_t i = 0;
    for (; i + 2 * kBlock <= size; i += 2 * kBlock) {
      const Floats8 a = load8(x + i), b = load8(x + i + kBlock);
      m[0] = vmaxq_f32(m[0], a.lo);
      m[1] = vmaxq_f32(m[1], a.hi);
      m[2] = vmaxq_f32(m[2], b.lo);
      m[3] = vmaxq_f32(m[3], b.hi);
    }
    for (; i < size; i += kBlock) {
      const std::size_t count = size - i;
      const Floats8 a =
          count >= kBlock ? load8(x + i) : load8(Tail<T>(x + i, count, from_float<T>(-kInfinity)).element);
      m[0] = vmaxq_f32(m[0], a.lo);
      m[1] = vmaxq_f32(m[1], a.hi);
    }
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(m[0], m[1]), vmaxq_f32(m[2], m[3])));
  }

  /// Not inlined, so that the modelled benchmark finds it.
  template <bool kScaled, typename T>
  [[gnu::noinline]] static float exp_sum_scaled(const T* x, float* y, std::size_t size, float max, float scale) {
    const Exp k(exp_polynomial(1.0));
    const float32x4_t vmax = vdupq_n_f32(max), floor = vdupq_n_f32(kExpFloor);
    const auto exp4 = [&](float32x4_t v) {
      v = vsubq_f32(v, vmax);
      return k.shifted<kExpShift>(vmaxq_f32(kScaled ? vmulq_n_f32(v, scale) : v, floor));
    };
    float32x4_t sum[kUnroll / 4] = {};
    std::size_t i = 0;
    for (; i + kUnroll <= size; i += kUnroll) {
#pragma clang loop unroll(full)
      for (std::size_t j = 0; j < kUnroll; j += kBlock) {
        const Floats8 v = load8(x + i + j);
        const Floats8 e = {exp4(v.lo), exp4(v.hi)};
        store8(y + i + j, e);
        sum[j / 4] = vaddq_f32(sum[j / 4], e.lo);
        sum[j / 4 + 1] = vaddq_f32(sum[j / 4 + 1], e.hi);
      }
    }
    for (; i < size; i += kBlock) {
      const std::size_t count = size - i;
      if (count >= kBlock) {
        const Floats8 v = load8(x + i);
        const Floats8 e = {exp4(v.lo), exp4(v.hi)};
        store8(y + i, e);
        sum[0] = vaddq_f32(sum[0], e.lo);
        sum[1] = vaddq_f32(sum[1], e.hi);
      } else {  // the padding adds exact zeros
        const Floats8 v = load8(Tail<T>(x + i, count, from_float<T>(-kInfinity)).element);
        const Floats8 e = {exp4(v.lo), exp4(v.hi)};
        Tail<float> last;
        store8(last.element, e);
        last.copy_to(y + i, count);
        sum[0] = vaddq_f32(sum[0], e.lo);
        sum[1] = vaddq_f32(sum[1], e.hi);
      }
    }
    for (std::size_t width = kUnroll / 8; width > 0; width /= 2) {
      for (std::size_t j = 0; j < width; ++j) {
        sum[j] = vaddq_f32(sum[j], sum[j + width]);
      }
    }
    return vaddvq_f32(sum[0]);
  }

  template <typename T>
  static float exp_sum(const T* x, float* y, std::size_t size, float max, float scale) {
    return scale == 1.0f ? exp_sum_scaled<false>(x, y, size, max, scale) : exp_sum_scaled<true>(x, y, size, max, scale);
  }

  template <typename T>
  static void scale_row(const float* x, T* y, std::size_t size, float factor) {
    std::size_t i = 0;
    for (; i + kBlock <= size; i += kBlock) {
      const Floats8 v = load8(x + i);
      store8(y + i, Floats8{vmulq_n_f32(v.lo, factor), vmulq_n_f32(v.hi, factor)});
    }
    if (i < size) {
      const Floats8 v = load8(Tail<float>(x + i, size - i, 0.0f).element);
      Tail<T> last;
      store8(last.element, Floats8{vmulq_n_f32(v.lo, factor), vmulq_n_f32(v.hi, factor)});
      last.copy_to(y + i, size - i);
    }
  }
};

}  // namespace

const SoftmaxKernels softmax_kernels = kSoftmaxRows<SoftmaxRow>;

}  // namespace axion::neon
