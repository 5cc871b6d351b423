/// What tests of linear_bf16 and linear_w8 share: operands between guard pages, and results that must be exact.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <type_traits>
#include <vector>

#include "guarded.h"
#include "reference.h"

namespace axion::test {
namespace {

struct Shape {
  std::size_t m;
  std::size_t n;
  std::size_t k;
};

/// Whole numbers of up to `most`.
std::vector<float> integers(std::size_t count, std::uint32_t seed, unsigned most = 8) {
  std::mt19937 bits(seed);
  std::vector<float> result(count);
  for (float& value : result) {
    value = static_cast<float>(static_cast<int>(bits() % (2 * most + 1)) - static_cast<int>(most));
  }
  return result;
}

/// Operands between guard pages, rows an odd number of elements longer than they need to be. Packing is the family's.
template <typename Kernels, template <typename> class Linear>
class LinearProblem {
 public:
  std::size_t panels() const { return (shape_.n + kernels_.panel_columns - 1) / kernels_.panel_columns; }
  std::size_t stride() const { return shape_.k + 3; }
  std::size_t y_stride() const { return shape_.n + 5; }
  Shape shape() const { return shape_; }
  double x(std::size_t i, std::size_t p) const { return static_cast<double>(to_float(x_[i * stride() + p])); }
  double bias(std::size_t j) const { return bias_.size() > 0 ? static_cast<double>(to_float(bias_[j])) : 0.0; }

  template <typename Out>
  Guarded<Out> output() const {
    return Guarded<Out>((shape_.m - 1) * y_stride() + shape_.n);
  }

  template <typename Out>
  void run(Guarded<Out>& y, Range rows, Range panels) const {
    Guarded<char> scratch(scratch_bytes(rows.end - rows.begin, panels.end - panels.begin));
    const Linear<Out> args{x_.data(), packed_.data(), bias_.size() > 0 ? bias_.data() : nullptr,
                           y.data(),  scratch.data(), shape_.n,
                           shape_.k,  stride(),       y_stride()};
    if constexpr (std::is_same_v<Out, float>) {
      kernels_.linear_f32(args, rows, panels);
    } else {
      kernels_.linear(args, rows, panels);
    }
  }

  template <typename Out>
  Guarded<Out> whole() const {
    Guarded<Out> y = output<Out>();
    run(y, {0, shape_.m}, {0, panels()});
    return y;
  }

 protected:
  LinearProblem(const Kernels& kernels, Shape shape, const std::vector<float>& x, bool biased)
      : kernels_(kernels),
        shape_(shape),
        x_(strided(x, shape.m, shape.k)),
        bias_(rounded<bf16>(integers(biased ? shape.n : 0, 99))),
        packed_((kernels.packed_bytes(shape.n, shape.k) + 63) / 64 * 64) {}

  static Guarded<bf16> strided(const std::vector<float>& values, std::size_t rows, std::size_t k) {
    Guarded<bf16> result((rows - 1) * (k + 3) + k);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t p = 0; p < k; ++p) {
        result[r * (k + 3) + p] = to_bf16(values[r * k + p]);
      }
    }
    return result;
  }

  void* packed() { return packed_.data(); }

 private:
  /// Not every family's scratch depends on the panels.
  std::size_t scratch_bytes(std::size_t rows, std::size_t panels) const {
    if constexpr (std::is_invocable_v<decltype(kernels_.scratch_bytes), std::size_t, std::size_t, std::size_t>) {
      return kernels_.scratch_bytes(rows, panels, shape_.k);
    } else {
      return kernels_.scratch_bytes(rows, shape_.k);
    }
  }

  const Kernels& kernels_;
  Shape shape_;
  Guarded<bf16> x_;
  Guarded<bf16> bias_;
  Guarded<char> packed_;
};

template <typename Out, typename Problem>
void expect_exact(const Problem& problem, const Guarded<Out>& y) {
  const auto [m, n, k] = problem.shape();
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = problem.bias(j);
      for (std::size_t p = 0; p < k; ++p) {
        sum += problem.x(i, p) * problem.w(j, p);
      }
      ASSERT_EQ(to_float(y[i * problem.y_stride() + j]), to_float(from_float<Out>(static_cast<float>(sum))))
          << "m " << m << " n " << n << " k " << k << " at " << i << ", " << j;
    }
    for (std::size_t j = n; i + 1 < m && j < problem.y_stride(); ++j) {
      ASSERT_EQ(bits_of(y[i * problem.y_stride() + j]) & 0xffffu, 0xa5a5u) << "written between rows of y";
    }
  }
}

}  // namespace
}  // namespace axion::test
