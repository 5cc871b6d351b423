/// Operands of linear_w8 between guard pages, and what its results are compared with.
#pragma once

#include "axion/linear_w8.h"
#include "linear_problem.h"

namespace axion::test {
namespace {

/// The weight is as it should be quantized, computed here from the contract alone.
class Problem : public LinearProblem<LinearW8Kernels, LinearW8> {
 public:
  Problem(const LinearW8Kernels& kernels, Shape shape, const std::vector<float>& x, const std::vector<float>& w,
          bool biased = true)
      : LinearProblem(kernels, shape, x, biased), weight_(shape.n * shape.k) {
    const Guarded<bf16> stored = strided(w, shape.n, shape.k);
    kernels.pack_bf16({stored.data(), packed(), shape.n, shape.k, stride()}, {0, panels()});
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

  double w(std::size_t j, std::size_t p) const { return weight_[j * shape().k + p]; }

 private:
  std::vector<double> weight_;
};

/// Codes of up to 127 with a scale of 1: every product and sum is a whole number that float holds.
Problem integer_problem(const LinearW8Kernels& kernels, Shape s, bool biased = true) {
  auto w = integers(s.n * s.k, 2, 127);
  for (std::size_t j = 0; j < s.n; ++j) {
    w[j * s.k + j % s.k] = j % 2 == 0 ? 127.0f : -127.0f;
  }
  return {kernels, s, integers(s.m * s.k, 1), w, biased};
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
