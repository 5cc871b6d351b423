#include "axion/norm.h"

#include <cmath>

namespace axion::portable {
namespace {

// Partial sums are kept a lane apart, so that compilers vectorise the reduction without reordering it.
constexpr std::size_t kLanes = 16;

template <typename T>
float sum_of_squares(const T* x, std::size_t size) {
  float lane[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      const float value = to_float(x[i + j]);
      lane[j] += value * value;
    }
  }
  for (std::size_t j = 0; i < size; ++i, ++j) {
    const float value = to_float(x[i]);
    lane[j] += value * value;
  }
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) {
      lane[j] += lane[j + width];
    }
  }
  return lane[0];
}

template <typename T>
void normalise(const T* x, const T* weight, T* y, std::size_t size, float eps, bool unit_offset) {
  const float mean = sum_of_squares(x, size) / static_cast<float>(size);
  const float inverse = 1.0f / std::sqrt(mean + eps);
  const float offset = unit_offset ? 1.0f : 0.0f;
  for (std::size_t i = 0; i < size; ++i) {
    y[i] = from_float<T>(to_float(x[i]) * inverse * (offset + to_float(weight[i])));
  }
}

template <typename T>
void rms_norm(const RmsNorm<T>& a, Range rows) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    normalise(a.x + row * a.x_stride, a.weight, a.y + row * a.y_stride, a.size, a.eps, a.unit_offset);
  }
}

template <typename T>
void fused_add_rms_norm(const FusedAddRmsNorm<T>& a, Range rows) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    const std::size_t at = row * a.stride;
    T* sum = a.residual_out + at;
    for (std::size_t i = 0; i < a.size; ++i) {
      sum[i] = from_float<T>(to_float(a.x[at + i]) + to_float(a.residual[at + i]));
    }
    normalise(sum, a.weight, a.y + at, a.size, a.eps, a.unit_offset);
  }
}

}  // namespace

const NormKernels norm_kernels = {
    rms_norm<float>,
    rms_norm<bf16>,
    fused_add_rms_norm<float>,
    fused_add_rms_norm<bf16>,
};

}  // namespace axion::portable
