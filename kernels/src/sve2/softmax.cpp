#include "axion/softmax.h"

#include <limits>

#include "exp_sve2.h"

namespace axion::sve2 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// NaN anywhere gives NaN, which then spreads to the whole row.
template <typename T>
float maximum(const T* x, std::size_t size) {
  const std::size_t step = svcntw();
  svfloat32_t m0 = svdup_f32(-kInfinity), m1 = m0, m2 = m0, m3 = m0;
  const svbool_t all = svptrue_b32();
  std::size_t i = 0;
  for (; i + 4 * step <= size; i += 4 * step) {
    m0 = svmax_x(all, m0, load(all, x + i));
    m1 = svmax_x(all, m1, load(all, x + i + step));
    m2 = svmax_x(all, m2, load(all, x + i + 2 * step));
    m3 = svmax_x(all, m3, load(all, x + i + 3 * step));
  }
  for (; i < size; i += step) {
    const svbool_t p = svwhilelt_b32_u64(i, size);
    m0 = svmax_m(p, m0, load(p, x + i));
  }
  return svmaxv(all, svmax_x(all, svmax_x(all, m0, m1), svmax_x(all, m2, m3)));
}

static_assert(kExpShift == kExpSumShift, "the contract's shift is what the exponential does");

/// y[i] = 2^32 * exp(scale * (x[i] - max)); returns the sum. The scale is part of the constants. Not inlined, so that
/// the modelled benchmark finds it.
template <typename T>
[[gnu::noinline]] float exp_sum_scaled(const T* x, float* y, std::size_t size, float max, float scale) {
  const ExpTable k = exp_table(static_cast<double>(scale));
  const float floor = kExpFloor / scale;
  const std::size_t step = svcntw();
  const svbool_t all = svptrue_b32();
  svfloat32_t s0 = svdup_f32(0.0f), s1 = s0, s2 = s0, s3 = s0;
  const auto block = [&](svbool_t p, std::size_t at, svfloat32_t sum) {
    const svfloat32_t e = exp_shifted<kExpShift>(p, k, svmax_x(p, svsub_x(p, load(p, x + at), max), floor));
    store(p, y + at, e);
    return svadd_m(p, sum, e);
  };
  std::size_t i = 0;
  for (; i + 4 * step <= size; i += 4 * step) {
    s0 = block(all, i, s0);
    s1 = block(all, i + step, s1);
    s2 = block(all, i + 2 * step, s2);
    s3 = block(all, i + 3 * step, s3);
  }
  for (; i < size; i += step) {
    s0 = block(svwhilelt_b32_u64(i, size), i, s0);
  }
  return svaddv(all, svadd_x(all, svadd_x(all, s0, s1), svadd_x(all, s2, s3)));
}

float shifted_exp_sum(const float* x, float* y, std::size_t size, float max) {
  return exp_sum_scaled(x, y, size, max, 1.0f);
}

template <typename T>
void scale_row(const float* x, T* y, std::size_t size, float factor) {
  for (std::size_t i = 0; i < size; i += svcntw()) {
    const svbool_t p = svwhilelt_b32_u64(i, size);
    store(p, y + i, svmul_x(p, load(p, x + i), factor));
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
  const float sum = exp_sum_scaled(x, exps, size, max, scale);
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

}  // namespace axion::sve2
