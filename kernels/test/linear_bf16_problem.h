/// Operands of linear_bf16 between guard pages, and what its results are compared with.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "axion/linear_bf16.h"
#include "guarded.h"
#include "reference.h"

namespace axion::test {
namespace {

struct Shape {
  std::size_t m;
  std::size_t n;
  std::size_t k;
};

/// Operands between guard pages, rows an odd number of elements longer than they need to be, and what they give.
class Problem {
 public:
  Problem(const LinearBf16Kernels& kernels, Shape shape, const std::vector<float>& x, const std::vector<float>& w,
          bool biased = true)
      : kernels_(kernels),
        shape_(shape),
        x_(strided(x, shape.m, shape.k)),
        w_(strided(w, shape.n, shape.k)),
        bias_(rounded<bf16>(integers(biased ? shape.n : 0, 99))),
        packed_((kernels.packed_bytes(shape.n, shape.k) + 63) / 64 * 64) {
    kernels.pack({w_.data(), packed_.data(), shape.n, shape.k, stride()}, {0, panels()});
  }

  std::size_t panels() const { return (shape_.n + kernels_.panel_columns - 1) / kernels_.panel_columns; }
  std::size_t stride() const { return shape_.k + 3; }
  std::size_t y_stride() const { return shape_.n + 5; }

  template <typename Out>
  Guarded<Out> output() const {
    return Guarded<Out>((shape_.m - 1) * y_stride() + shape_.n);
  }

  template <typename Out>
  void run(Guarded<Out>& y, Range rows, Range panels) const {
    Guarded<char> scratch(kernels_.scratch_bytes(rows.end - rows.begin, panels.end - panels.begin, shape_.k));
    const LinearBf16<Out> args{x_.data(),      packed_.data(), bias_.size() > 0 ? bias_.data() : nullptr,
                               y.data(),       scratch.data(), shape_.n,
                               shape_.k,       stride(),       y_stride()};
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

  double x(std::size_t i, std::size_t p) const { return static_cast<double>(to_float(x_[i * stride() + p])); }
  double w(std::size_t j, std::size_t p) const { return static_cast<double>(to_float(w_[j * stride() + p])); }
  double bias(std::size_t j) const { return bias_.size() > 0 ? static_cast<double>(to_float(bias_[j])) : 0.0; }
  Shape shape() const { return shape_; }

  /// Whole numbers of up to 8: every product and sum is exact in float, so that results have no tolerance at all.
  static std::vector<float> integers(std::size_t count, std::uint32_t seed) {
    std::mt19937 bits(seed);
    std::vector<float> result(count);
    for (float& value : result) {
      value = static_cast<float>(static_cast<int>(bits() % 17u) - 8);
    }
    return result;
  }

 private:
  static Guarded<bf16> strided(const std::vector<float>& values, std::size_t rows, std::size_t k) {
    Guarded<bf16> result((rows - 1) * (k + 3) + k);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t p = 0; p < k; ++p) {
        result[r * (k + 3) + p] = to_bf16(values[r * k + p]);
      }
    }
    return result;
  }

  const LinearBf16Kernels& kernels_;
  Shape shape_;
  Guarded<bf16> x_;
  Guarded<bf16> w_;
  Guarded<bf16> bias_;
  Guarded<char> packed_;
};

Problem integer_problem(const LinearBf16Kernels& kernels, Shape s, bool biased = true) {
  return {kernels, s, Problem::integers(s.m * s.k, 1), Problem::integers(s.n * s.k, 2), biased};
}

template <typename Out>
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

/// c2 = 1 with 10 terms more: BFMMLA rounds to odd (2^-23) once for each two products and once in each pair of them.
template <typename Out>
void expect_within_bound(const Problem& problem, const Guarded<Out>& y) {
  const auto [m, n, k] = problem.shape();
  constexpr double kFlushed = 0x1p-126;  // what a denormal operand or sum may lose, for each operand and product
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = problem.bias(j);
      double size = std::abs(sum);
      double lost = kFlushed;
      for (std::size_t p = 0; p < k; ++p) {
        const double product = problem.x(i, p) * problem.w(j, p);
        sum += product;
        size += std::abs(product);
        lost += kFlushed * (2.0 + std::abs(problem.x(i, p)) + std::abs(problem.w(j, p)));
      }
      const double got = static_cast<double>(to_float(y[i * problem.y_stride() + j]));
      ASSERT_LE(std::abs(got - sum), sum_bound<Out>(sum, size, static_cast<double>(k) + 10.0, 1.01) + lost)
          << "m " << m << " n " << n << " k " << k << " at " << i << ", " << j << ": " << got << " for " << sum;
    }
  }
}

}  // namespace
}  // namespace axion::test
