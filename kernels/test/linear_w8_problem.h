/// Operands of linear_w8 between guard pages, and what its results are compared with.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "axion/linear_w8.h"
#include "guarded.h"
#include "reference.h"

namespace axion::test {
namespace {

struct Shape {
  std::size_t m;
  std::size_t n;
  std::size_t k;
};

/// Operands between guard pages, rows an odd number of elements longer than needed, and the weight as it should be
/// quantized, computed here from the contract alone.
class Problem {
 public:
  Problem(const LinearW8Kernels& kernels, Shape shape, const std::vector<float>& x, const std::vector<float>& w,
          bool biased = true)
      : kernels_(kernels),
        shape_(shape),
        x_(strided(x, shape.m, shape.k)),
        bias_(rounded<bf16>(integers(biased ? shape.n : 0, 99, 8))),
        packed_((kernels.packed_bytes(shape.n, shape.k) + 63) / 64 * 64),
        weight_(shape.n * shape.k) {
    const Guarded<bf16> stored = strided(w, shape.n, shape.k);
    kernels.pack_bf16({stored.data(), packed_.data(), shape.n, shape.k, stride()}, {0, panels()});
    for (std::size_t j = 0; j < shape.n; ++j) {
      float largest = 0.0f;
      for (std::size_t p = 0; p < shape.k; ++p) {
        largest = std::max(largest, std::abs(to_float(stored[j * stride() + p])));
      }
      const float scale = largest / 127.0f;
      for (std::size_t p = 0; p < shape.k && scale > 0.0f; ++p) {
        const double code = std::rint(to_float(stored[j * stride() + p]) / scale);
        weight_[j * shape.k + p] = static_cast<double>(scale) * code;
      }
    }
  }

  std::size_t panels() const { return (shape_.n + kernels_.panel_columns - 1) / kernels_.panel_columns; }
  std::size_t stride() const { return shape_.k + 3; }
  std::size_t y_stride() const { return shape_.n + 5; }
  Shape shape() const { return shape_; }
  double x(std::size_t i, std::size_t p) const { return static_cast<double>(to_float(x_[i * stride() + p])); }
  double w(std::size_t j, std::size_t p) const { return weight_[j * shape_.k + p]; }
  double bias(std::size_t j) const { return bias_.size() > 0 ? static_cast<double>(to_float(bias_[j])) : 0.0; }

  template <typename Out>
  Guarded<Out> output() const {
    return Guarded<Out>((shape_.m - 1) * y_stride() + shape_.n);
  }

  template <typename Out>
  void run(Guarded<Out>& y, Range rows, Range panels) const {
    Guarded<char> scratch(kernels_.scratch_bytes(rows.end - rows.begin, shape_.k));
    const LinearW8<Out> args{x_.data(),      packed_.data(), bias_.size() > 0 ? bias_.data() : nullptr,
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

  static std::vector<float> integers(std::size_t count, std::uint32_t seed, unsigned most) {
    std::mt19937 bits(seed);
    std::vector<float> result(count);
    for (float& value : result) {
      value = static_cast<float>(static_cast<int>(bits() % (2 * most + 1)) - static_cast<int>(most));
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

  const LinearW8Kernels& kernels_;
  Shape shape_;
  Guarded<bf16> x_;
  Guarded<bf16> bias_;
  Guarded<char> packed_;
  std::vector<double> weight_;
};

/// Codes of up to 127 with a scale of 1: every product and sum is a whole number that float holds.
Problem integer_problem(const LinearW8Kernels& kernels, Shape s, bool biased = true) {
  auto w = Problem::integers(s.n * s.k, 2, 127);
  for (std::size_t j = 0; j < s.n; ++j) {
    w[j * s.k + j % s.k] = j % 2 == 0 ? 127.0f : -127.0f;
  }
  return {kernels, s, Problem::integers(s.m * s.k, 1, 8), w, biased};
}

/// What the header promises before rounding, or 2^-13 of sum|x * w| where that is asked for.
struct Expected {
  double value;
  double size;
  double error;
};

Expected expected(const Problem& problem, std::size_t i, std::size_t j) {
  const std::size_t k = problem.shape().k;
  Expected result{problem.bias(j), std::abs(problem.bias(j)), 0.0};
  for (std::size_t first = 0; first < k; first += 128) {
    double largest = 0.0;
    double widest = 0.0;
    double small = 0.0;
    double weights = 0.0;
    const std::size_t end = std::min(first + 128, k);
    for (std::size_t p = first; p < end; ++p) {
      largest = std::max(largest, std::abs(problem.x(i, p)));
      widest = std::max(widest, std::abs(problem.w(j, p)));
      weights += std::abs(problem.w(j, p));
      result.value += problem.x(i, p) * problem.w(j, p);
      result.size += std::abs(problem.x(i, p) * problem.w(j, p));
    }
    for (std::size_t p = first; p < end; ++p) {
      small += std::abs(problem.x(i, p)) < largest / 7.0 ? std::abs(problem.x(i, p)) : 0.0;
    }
    result.error += std::max(0x1p-14 * widest * small, 0x1p-29 * largest * weights);
  }
  result.error += (static_cast<double>(k) + 10.0) * 0x1p-24 * result.size;
  return result;
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

template <typename Out>
void expect_within_bound(const Problem& problem, const Guarded<Out>& y) {
  for (std::size_t i = 0; i < problem.shape().m; ++i) {
    for (std::size_t j = 0; j < problem.shape().n; ++j) {
      const Expected want = expected(problem, i, j);
      const double got = static_cast<double>(to_float(y[i * problem.y_stride() + j]));
      ASSERT_LE(std::abs(got - want.value), 1.01 * kUnitRoundoff<Out> * std::abs(want.value) + want.error)
          << i << ", " << j << ": " << got << " for " << want.value;
    }
  }
}

}  // namespace
}  // namespace axion::test
