/// A linear layer with 4-bit weights, its reference in double, and the error that the contract allows.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "axion/linear_w4.h"
#include "guarded.h"
#include "isa.h"
#include "reference.h"

namespace axion::test {

struct W4Shape {
  std::size_t m;
  std::size_t n;
  std::size_t k;
  std::size_t group;  ///< as the caller gives it: k for whole-K groups
};

/// Weights and activations before rounding to the activations' type. Tests change what they are about.
struct W4Problem {
  W4Shape shape;
  std::vector<std::uint8_t> q;
  std::vector<float> scales;
  std::vector<std::uint8_t> zeros;
  std::vector<float> x;
  std::vector<float> bias;

  explicit W4Problem(W4Shape s, std::uint32_t seed = 1) : shape(s) {
    std::mt19937 random(seed);
    q.resize(s.n * s.k);
    for (std::uint8_t& value : q) {
      value = static_cast<std::uint8_t>(random() % 16);
    }
    const std::size_t groups = s.n * (s.k / s.group);
    for (std::size_t i = 0; i < groups; ++i) {
      scales.push_back((0.5f + static_cast<float>(random() % 1024) / 1024.0f) * 0.013f);
      zeros.push_back(static_cast<std::uint8_t>(random() % 16));
    }
    x = normal_values(s.m * s.k, seed + 1);
    bias = normal_values(s.n, seed + 2);
  }

  std::size_t scale_index(std::size_t row, std::size_t i) const {
    return row * (shape.k / shape.group) + i / shape.group;
  }

  double weight(std::size_t row, std::size_t i) const {
    const std::size_t at = scale_index(row, i);
    const int zero = zeros.empty() ? 8 : zeros[at];
    return static_cast<double>(q[row * shape.k + i] - zero) * static_cast<double>(scales[at]);
  }
};

inline Guarded<std::uint8_t> packed_w4(const W4Problem& p) {
  Guarded<std::uint8_t> packed(w4_packed_size(p.shape.n, p.shape.k, p.shape.group));
  const PackW4 pack = {p.q.data(),    p.scales.data(), p.zeros.empty() ? nullptr : p.zeros.data(),
                       packed.data(), p.shape.n,       p.shape.k,
                       p.shape.group};
  pack_w4(pack, {0, w4_panels(p.shape.n)});
  return packed;
}

enum class W4Method { kAccurate, kInt8Activations };

/// How a run is laid out and split; the defaults are contiguous and one call.
struct W4Run {
  W4Method method = W4Method::kAccurate;
  std::size_t padding = 0;        ///< added to both strides
  std::size_t panels_at_once = 0;  ///< 0: all
};

/// y, [m][n] contiguous. Every buffer ends at a forbidden page; what lies between rows of y must stay as it was.
template <typename T>
std::vector<T> run_w4(const LinearW4Kernels& kernels, const W4Problem& p, W4Run run = {}) {
  const auto [m, n, k, group] = p.shape;
  const Guarded<std::uint8_t> packed = packed_w4(p);
  const std::size_t x_stride = k + run.padding;
  const std::size_t y_stride = n + run.padding;
  Guarded<T> x((m - 1) * x_stride + k);
  for (std::size_t i = 0; i < m * k; ++i) {
    x[i / k * x_stride + i % k] = from_float<T>(p.x[i]);
  }
  const Guarded<T> bias(rounded<T>(p.bias));
  Guarded<T> y((m - 1) * y_stride + n);
  const std::vector<T> before = y.copy();
  Guarded<std::uint8_t> prepared(kernels.prepared_size(m, k));
  Guarded<std::uint8_t> scratch(kernels.scratch_size(m, k));
  const LinearW4<T> args = {x.data(), packed.data(), p.bias.empty() ? nullptr : bias.data(),
                            y.data(), m,             n,
                            k,        group,         x_stride,
                            y_stride, prepared.data(), scratch.data()};
  constexpr bool kFloat = sizeof(T) == 4;
  const bool a8 = run.method == W4Method::kInt8Activations;
  const std::size_t parts = a8 ? w4_row_blocks(m) : w4_parts(m, k);
  const std::size_t step = run.panels_at_once == 0 ? w4_panels(n) : run.panels_at_once;
  for (std::size_t part = parts; part-- > 0;) {  // in one call, or each alone, from the last to the first
    const Range range{run.panels_at_once == 0 ? 0 : part, run.panels_at_once == 0 ? parts : part + 1};
    if constexpr (kFloat) {
      (a8 ? kernels.prepare_a8_f32 : kernels.prepare_f32)(args, range);
    } else {
      (a8 ? kernels.prepare_a8_bf16 : kernels.prepare_bf16)(args, range);
    }
  }
  for (std::size_t begin = 0; begin < w4_panels(n); begin += step) {
    const Range panels{begin, std::min(begin + step, w4_panels(n))};
    if constexpr (kFloat) {
      (a8 ? kernels.linear_w4a8_f32 : kernels.linear_w4_f32)(args, panels);
    } else {
      (a8 ? kernels.linear_w4a8_bf16 : kernels.linear_w4_bf16)(args, panels);
    }
  }
  std::vector<T> result;
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (i % y_stride < n) {
      result.push_back(y[i]);
    } else if (bits_of(y[i]) != bits_of(before[i])) {
      ADD_FAILURE() << "element " << i << " between rows of y was written";
    }
  }
  return result;
}

/// Every element within `relative` of sum|w * x|, and the rounding of the output.
template <typename T>
void expect_w4(const W4Problem& p, const std::vector<T>& y, double relative, double denormal_x = 0x1p-100) {
  const auto [m, n, k, group] = p.shape;
  const std::vector<double> x = widened(rounded<T>(p.x));
  const std::vector<double> bias = widened(rounded<T>(p.bias));
  std::vector<double> w(k);
  ASSERT_EQ(y.size(), m * n);
  for (std::size_t c = 0; c < n; ++c) {
    for (std::size_t i = 0; i < k; ++i) {
      w[i] = p.weight(c, i);
    }
    for (std::size_t r = 0; r < m; ++r) {
      double sum = 0.0;
      double size = 0.0;
      double weights = 0.0;
      for (std::size_t i = 0; i < k; ++i) {
        sum += x[r * k + i] * w[i];
        size += std::abs(x[r * k + i] * w[i]);
        weights += std::abs(w[i]);
      }
      const double added = bias.empty() ? 0.0 : bias[c];
      const double error = relative * size + denormal_x * weights + 0x1p-149;
      const double bound = error + kUnitRoundoff<T> * (std::abs(sum + added) + error) + 0x1p-23 * std::abs(added);
      const double got = to_float(y[r * n + c]);
      ASSERT_LE(std::abs(got - (sum + added)), bound)
          << "row " << r << " of " << m << ", column " << c << " of " << n << ", k " << k << ", group " << group
          << ", got " << got << ", want " << sum + added << ", of sum|w*x| " << (got - sum - added) / size;
    }
  }
}

constexpr double kW4Bound = 0x1p-13;

}  // namespace axion::test
