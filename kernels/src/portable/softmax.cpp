#include "../softmax_rows.h"

#include <cmath>

#include "exp_portable.h"

namespace axion::portable {
namespace {

// Partial results are kept a lane apart, so that compilers vectorise a reduction without reordering it.
constexpr std::size_t kLanes = 16;

inline float floored_exp(float z) { return exp_shifted<kExpShift>(z < kExpFloor ? kExpFloor : z); }

struct SoftmaxRow {
  /// A NaN beside a number is ignored: it shows in the sum of exponentials.
  template <typename T>
  static float maximum(const T* x, std::size_t size) {
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
    for (i = 0; lane[0] == -kInfinity && i < size; ++i) {
      lane[0] = std::isnan(to_float(x[i])) ? to_float(x[i]) : lane[0];
    }
    return lane[0];
  }

  template <typename T>
  static float exp_sum(const T* x, float* y, std::size_t size, float max, float scale) {
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

  template <typename T>
  static void scale_row(const float* x, T* y, std::size_t size, float factor) {
    for (std::size_t i = 0; i < size; ++i) {
      y[i] = from_float<T>(x[i] * factor);
    }
  }
};

}  // namespace

const SoftmaxKernels softmax_kernels = kSoftmaxRows<SoftmaxRow>;

}  // namespace axion::portable
