#include "axion/softmax.h"

#include <cmath>
#include <limits>

#include "exp_neon.h"

namespace axion::neon {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::size_t kUnroll = 4 * kBlock;

/// NaN anywhere gives NaN, which then spreads to the whole row.
template <typename T>
float maximum(const T* x, std::size_t size) {
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

static_assert(kExpShift == kExpSumShift, "the contract's shift is what the exponential does");

/// y[i] = 2^32 * exp(scale * (x[i] - max)); returns the sum. Not inlined, so that the modelled benchmark finds it.
template <bool kScaled, typename T>
[[gnu::noinline]] float exp_sum_scaled(const T* x, float* y, std::size_t size, float max, float scale) {
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

float shifted_exp_sum(const float* x, float* y, std::size_t size, float max) {
  return exp_sum_scaled<false>(x, y, size, max, 1.0f);
}

template <typename T>
void scale_row(const float* x, T* y, std::size_t size, float factor) {
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

template <typename T>
void softmax_row(const T* x, T* y, float* exps, std::size_t size, float scale) {
  const float max = maximum(x, size);
  if (max == -kInfinity) {  // all masked
    for (std::size_t i = 0; i < size; ++i) {
      y[i] = from_float<T>(0.0f);
    }
    return;
  }
  const float sum = scale == 1.0f ? exp_sum_scaled<false>(x, exps, size, max, scale)
                                  : exp_sum_scaled<true>(x, exps, size, max, scale);
  scale_row(exps, y, size, 1.0f / sum);
}

void softmax_f32(const Softmax<float>& a, Range rows) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    float* y = a.y + row * a.y_stride;
    softmax_row(a.x + row * a.x_stride, y, y, a.size, a.scale);
  }
}

void softmax_bf16(const Softmax<bf16>& a, Range rows, float* scratch) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    softmax_row(a.x + row * a.x_stride, a.y + row * a.y_stride, scratch, a.size, a.scale);
  }
}

}  // namespace

const SoftmaxKernels softmax_kernels = {softmax_f32, softmax_bf16, shifted_exp_sum};

}  // namespace axion::neon
