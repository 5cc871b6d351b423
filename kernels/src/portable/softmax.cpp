#include "axion/softmax.h"

#include <cmath>
#include <limits>

#include "exp_portable.h"

namespace axion::portable {
namespace {

// Partial results are kept a lane apart, so that compilers vectorise a reduction without reordering it.
constexpr std::size_t kLanes = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Ignores NaN, which shows in the sum of exponentials.
template <typename T>
float maximum(const T* x, std::size_t size) {
  float lane[kLanes];
  for (float& m : lane) {
    m = -kInfinity;
  }
  std::size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      const float value = to_float(x[i + j]);
      lane[j] = value > lane[j] ? value : lane[j];
    }
  }
  for (; i < size; ++i) {
    const float value = to_float(x[i]);
    lane[0] = value > lane[0] ? value : lane[0];
  }
  for (std::size_t j = 1; j < kLanes; ++j) {
    lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
  }
  return lane[0];
}

static_assert(kExpShift == kExpSumShift, "the contract's shift is what the exponential does");

inline float floored_exp(float z) { return exp_shifted<kExpShift>(z < kExpFloor ? kExpFloor : z); }

/// y[i] = 2^32 * exp(scale * (x[i] - max)); returns the sum.
template <typename T>
float exp_sum_scaled(const T* x, float* y, std::size_t size, float max, float scale) {
  float lane[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      const float e = floored_exp((to_float(x[i + j]) - max) * scale);
      y[i + j] = e;
      lane[j] += e;
    }
  }
  for (std::size_t j = 0; i < size; ++i, ++j) {
    y[i] = floored_exp((to_float(x[i]) - max) * scale);
    lane[j] += y[i];
  }
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) {
      lane[j] += lane[j + width];
    }
  }
  return lane[0];
}

float shifted_exp_sum(const float* x, float* y, std::size_t size, float max) {
  return exp_sum_scaled(x, y, size, max, 1.0f);
}

template <typename T>
void softmax_row(const T* x, T* y, float* exps, std::size_t size, float scale) {
  const float max = maximum(x, size);
  float sum = 0.0f;
  if (max > -kInfinity) {
    sum = exp_sum_scaled(x, exps, size, max, scale);
  } else {
    for (std::size_t i = 0; i < size; ++i) {  // all -inf or NaN
      exps[i] = 0.0f;
      sum += std::isnan(to_float(x[i])) ? to_float(x[i]) : 0.0f;
    }
  }
  const float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
  for (std::size_t i = 0; i < size; ++i) {
    y[i] = from_float<T>(exps[i] * inverse);
  }
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

}  // namespace axion::portable
