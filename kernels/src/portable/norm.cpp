#include "../norm_rows.h"

namespace axion::portable {
namespace {

// Partial sums are kept a lane apart, so that compilers vectorise the reduction without reordering it.
constexpr std::size_t kLanes = 16;

// Inline, so that the modelled benchmark, which reads one symbol of a kernel, counts all of a row.
struct NormRow {
  template <typename T>
  [[gnu::always_inline]] static float sum_of_squares(const Row<T>& row, std::size_t size) {
    const T* x = row.x;
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
  [[gnu::always_inline]] static float sum_of_squares(const SumOfRows<T>& rows, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      rows.sum[i] = from_float<T>(to_float(rows.x[i]) + to_float(rows.residual[i]));
    }
    return sum_of_squares(Row<T>{rows.sum}, size);
  }

  template <bool kUnitOffset, typename T>
  [[gnu::always_inline]] static void scale_row(const T* x, const T* weight, T* y, std::size_t size, float inverse) {
    constexpr float kOffset = kUnitOffset ? 1.0f : 0.0f;
    for (std::size_t i = 0; i < size; ++i) {
      y[i] = from_float<T>(to_float(x[i]) * inverse * (kOffset + to_float(weight[i])));
    }
  }
};

}  // namespace

const NormKernels norm_kernels = kNormRows<NormRow>;

}  // namespace axion::portable
