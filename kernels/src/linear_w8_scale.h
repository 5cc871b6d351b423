// How linear_w8 quantizes a row of the weight, the same in every table. Internal linkage: each ISA's unit has its own.
#pragma once

#include <cmath>
#include <limits>

#include "axion/types.h"

namespace axion {
namespace {

/// NaN where the row has a value that is not finite.
template <typename T>
float row_scale(const T* row, std::size_t k) {
  float largest = 0.0f;
  for (std::size_t p = 0; p < k; ++p) {
    const float magnitude = std::fabs(to_float(row[p]));
    if (!(magnitude <= std::numeric_limits<float>::max())) {
      return std::numeric_limits<float>::quiet_NaN();
    }
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest / 127.0f;
}

/// A denormal scale may be so coarse that the quotient passes 127; a scale of zero or NaN has no quotient.
inline std::int8_t quantized(float value, float scale) {
  if (!(scale > 0.0f)) {
    return 0;
  }
  const float quotient = std::nearbyint(value / scale);
  return static_cast<std::int8_t>(quotient > 127.0f ? 127.0f : quotient < -127.0f ? -127.0f : quotient);
}

}  // namespace
}  // namespace axion
