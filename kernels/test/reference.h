/// What tests compare with: units in the last place, condition-aware error bounds, seeded inputs.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "axion/types.h"

namespace axion::test {

/// What one rounding to T adds at most, relative to the value: half an ULP. float 2^-24, bf16 2^-8.
template <typename T>
constexpr double kUnitRoundoff = 0x1p-24;
template <>
inline constexpr double kUnitRoundoff<bf16> = 0x1p-8;

/// The distance of neighbouring floats at the magnitude of `value`; that of denormals near zero.
inline double float_ulp(double value) {
  int exponent = -125;  // a zero's neighbours are denormal
  if (value != 0.0) {
    std::frexp(value, &exponent);  // |value| = f * 2^exponent, f in [0.5, 1)
  }
  return std::ldexp(1.0, std::max(exponent, -125) - 24);
}

/// |got - want| in ULP of `want`. Zero for equal values, infinities and NaN alike included; else infinite when either
/// is not finite. `want` above the largest float counts as infinity, as the rounded result would be.
inline double ulp_error(float got, double want) {
  if (std::isnan(got) && std::isnan(want)) {
    return 0.0;
  }
  const double limit = std::numeric_limits<float>::infinity();
  const double rounded = static_cast<double>(static_cast<float>(want));
  if (std::isinf(rounded) || std::isinf(got)) {
    return static_cast<double>(got) == rounded ? 0.0 : limit;
  }
  return std::isnan(got) || std::isnan(want) ? limit : std::abs(static_cast<double>(got) - want) / float_ulp(want);
}

/// Per-element bound of a sum of `terms` products: c1 * eps_out * |ref| + c2 * terms * 2^-24 * sum|a_i * b_i|.
///
/// The first term is the rounding of the output, relative to it; the second that of the accumulation, relative to what
/// was summed, so that cancellation is allowed for exactly where it happens.
template <typename T>
double sum_bound(double ref, double abs_sum, double terms, double c1 = 1.0, double c2 = 1.0) {
  return c1 * kUnitRoundoff<T> * std::abs(ref) + c2 * terms * 0x1p-24 * abs_sum;
}

template <typename T>
std::uint32_t bits_of(T value) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4, "float or bf16");
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <typename T>
bool same_bits(const T* a, const T* b, std::size_t count) {
  return std::memcmp(a, b, count * sizeof(T)) == 0;
}

/// Values as T holds them: references are computed from what the kernel really reads.
template <typename T>
std::vector<T> rounded(const std::vector<float>& values) {
  std::vector<T> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    result[i] = from_float<T>(values[i]);
  }
  return result;
}

template <typename T>
std::vector<double> widened(const std::vector<T>& values) {
  std::vector<double> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    result[i] = static_cast<double>(to_float(values[i]));
  }
  return result;
}

/// Normally distributed values; the same for a seed on every machine (no std distribution, whose results may differ).
inline std::vector<float> normal_values(std::size_t count, std::uint32_t seed, double deviation = 1.0) {
  std::mt19937 bits(seed);
  std::vector<float> result(count);
  for (float& value : result) {
    const double u = (static_cast<double>(bits()) + 1.0) / 4294967297.0;
    const double v = static_cast<double>(bits()) / 4294967296.0;
    value = static_cast<float>(deviation * std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v));
  }
  return result;
}

/// Normal values with every `period`-th replaced by +-1e4: the outlier channels of real activations.
inline std::vector<float> outlier_values(std::size_t count, std::uint32_t seed, std::size_t period = 61) {
  std::vector<float> result = normal_values(count, seed);
  for (std::size_t i = seed % period; i < count; i += period) {
    result[i] = (i / period) % 2 == 0 ? 1e4f : -1e4f;
  }
  return result;
}

}  // namespace axion::test
