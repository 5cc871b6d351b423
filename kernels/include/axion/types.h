/// Types that every operation shares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace axion {

/// A bfloat16 as its bits: sign, 8 exponent bits, 7 mantissa bits. No arithmetic; kernels widen to float.
struct bf16 {
  std::uint16_t bits;
};
static_assert(sizeof(bf16) == 2, "tensors of torch::kBFloat16 are read through this type");

inline float to_float(float value) { return value; }

inline float to_float(bf16 value) {
  const std::uint32_t wide = std::uint32_t{value.bits} << 16;
  float result;
  std::memcpy(&result, &wide, sizeof result);
  return result;
}

/// Round to nearest, ties to even; a NaN stays a (quiet) NaN, overflow gives infinity. What BFCVT does.
inline bf16 to_bf16(float value) {
  std::uint32_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  if ((wide & 0x7fffffffu) > 0x7f800000u) {
    return {static_cast<std::uint16_t>((wide >> 16) | 0x0040u)};
  }
  return {static_cast<std::uint16_t>((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16)};
}

template <typename T>
T from_float(float value);
template <>
inline float from_float<float>(float value) {
  return value;
}
template <>
inline bf16 from_float<bf16>(float value) {
  return to_bf16(value);
}

/// A half-open range of rows or panels: the part of an operation that one call computes.
struct Range {
  std::size_t begin;
  std::size_t end;
};

}  // namespace axion
