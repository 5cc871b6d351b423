/// Operands of linear_bf16 between guard pages, and what its results are compared with.
#pragma once

#include "axion/linear_bf16.h"
#include "linear_problem.h"

namespace axion::test {
namespace {

class Problem : public LinearProblem<LinearBf16Kernels, LinearBf16> {
 public:
  Problem(const LinearBf16Kernels& kernels, Shape shape, const std::vector<float>& x, const std::vector<float>& w,
          bool biased = true)
      : LinearProblem(kernels, shape, x, biased), w_(strided(w, shape.n, shape.k)) {
    kernels.pack({w_.data(), packed(), shape.n, shape.k, stride()}, {0, panels()});
  }

  double w(std::size_t j, std::size_t p) const { return static_cast<double>(to_float(w_[j * stride() + p])); }

 private:
  Guarded<bf16> w_;
};

/// Every product and sum is exact in float, so that results have no tolerance at all.
Problem integer_problem(const LinearBf16Kernels& kernels, Shape s, bool biased = true) {
  return {kernels, s, integers(s.m * s.k, 1), integers(s.n * s.k, 2), biased};
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
