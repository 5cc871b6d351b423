/// Eight elements of float or bf16 as two vectors of float, in order; whole blocks and the last part of a row.
#pragma once

#if !defined(__ARM_NEON) || !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#error "src/neon needs the flags of AXION_NEON_FLAGS"
#endif

#include <arm_neon.h>

#include "axion/types.h"

namespace axion::neon {
namespace {

constexpr std::size_t kBlock = 8;

struct Floats8 {
  float32x4_t lo, hi;
};

inline uint16x8_t load_bits(const bf16* p) { return vld1q_u16(reinterpret_cast<const std::uint16_t*>(p)); }

/// Interleaving with zeros below: two of the cheap permutes, where a shift would use one of only two pipes.
inline Floats8 widen(uint16x8_t bits) {
  const uint16x8_t zero = vdupq_n_u16(0);
  return {vreinterpretq_f32_u16(vzip1q_u16(zero, bits)), vreinterpretq_f32_u16(vzip2q_u16(zero, bits))};
}

inline uint16x8_t narrow(Floats8 v) {
  return vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(v.lo), v.hi));
}

inline Floats8 load8(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
inline Floats8 load8(const bf16* p) { return widen(load_bits(p)); }
inline void store8(float* p, Floats8 v) {
  vst1q_f32(p, v.lo);
  vst1q_f32(p + 4, v.hi);
}
inline void store8(bf16* p, Floats8 v) { vst1q_u16(reinterpret_cast<std::uint16_t*>(p), narrow(v)); }

/// The last `count` < kBlock elements of a row, padded, so that they go through the same instructions as the others.
template <typename T>
struct Tail {
  T element[kBlock];

  Tail(const T* p, std::size_t count, T padding) {
    for (std::size_t i = 0; i < kBlock; ++i) {
      element[i] = i < count ? p[i] : padding;
    }
  }
  Tail() = default;

  void copy_to(T* p, std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i) {
      p[i] = element[i];
    }
  }
};

}  // namespace
}  // namespace axion::neon
