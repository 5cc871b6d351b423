/// The rows of a softmax, the same for every table. A table's own is what is done with one row, a type with
///   float maximum(const T* x, std::size_t size): -infinity for nothing but -infinity, NaN for that and NaN;
///   float exp_sum(const T* x, float* y, std::size_t size, float max, float scale): the sum of
///     y[i] = 2^32 * exp(scale * (x[i] - max)), y may be x; NaN in x or max gives NaN, and so a row of NaN;
///   void scale_row(const float* x, T* y, std::size_t size, float factor): y may be x.
/// Internal linkage: each unit compiles its own copy, for its own ISA.
#pragma once

#include <limits>

#include "axion/softmax.h"
#include "exp_constants.h"

namespace axion {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
static_assert(kExpShift == kExpSumShift, "the contract's shift is what the exponential does");

template <typename Isa>
float shifted_exp_sum(const float* x, float* y, std::size_t size, float max) {
  return Isa::exp_sum(x, y, size, max, 1.0f);
}

template <typename Isa, typename T>
void softmax_row(const T* x, T* y, float* exps, std::size_t size, float scale) {
  const float max = Isa::maximum(x, size);
  if (max == -kInfinity) {  // all masked
    for (std::size_t i = 0; i < size; ++i) {
      y[i] = from_float<T>(0.0f);
    }
    return;
  }
  const float sum = Isa::exp_sum(x, exps, size, max, scale);
  Isa::scale_row(exps, y, size, 1.0f / sum);
}

template <typename Isa>
void softmax_f32(const Softmax<float>& a, Range rows) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    float* y = a.y + row * a.y_stride;
    softmax_row<Isa>(a.x + row * a.x_stride, y, y, a.size, a.scale);
  }
}

template <typename Isa>
void softmax_bf16(const Softmax<bf16>& a, Range rows, float* scratch) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    softmax_row<Isa>(a.x + row * a.x_stride, a.y + row * a.y_stride, scratch, a.size, a.scale);
  }
}

template <typename Isa>
constexpr SoftmaxKernels kSoftmaxRows = {softmax_f32<Isa>, softmax_bf16<Isa>, shifted_exp_sum<Isa>};

}  // namespace
}  // namespace axion
