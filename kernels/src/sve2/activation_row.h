/// The columns of one row of a gated activation: everything but the activation itself, which the modelled benchmark
/// replaces by nothing to see what the rest costs (bench/gated_product_sve2.cpp).
#pragma once

#include "axion/types.h"
#include "vec_sve2.h"

namespace axion::sve2 {
namespace {

/// One vector of T: of floats as it is; of bf16 twice as many elements, the even and the odd ones apart, which BFCVT
/// and BFCVTNT put back in order.
template <typename Act>
inline void block(svbool_t p, const float* gate, const float* up, float* y, const Act& act) {
  const svbool_t all = svptrue_b32();  // lanes that p leaves out hold zeros; unpredicated forms need no copies
  svst1(p, y, svmul_x(all, act(all, svld1(p, gate)), svld1(p, up)));
}

template <typename Act>
inline void block(svbool_t p, const bf16* gate, const bf16* up, bf16* y, const Act& act) {
  const svbool_t all = svptrue_b32();
  const svuint16_t g = svld1(p, reinterpret_cast<const std::uint16_t*>(gate));
  const svuint16_t u = svld1(p, reinterpret_cast<const std::uint16_t*>(up));
  const svbfloat16_t low = svcvt_bf16_x(all, svmul_x(all, act(all, even(g)), even(u)));
  const svbfloat16_t both = svcvtnt_bf16_x(low, all, svmul_x(all, act(all, odd(g)), odd(u)));
  svst1(p, reinterpret_cast<std::uint16_t*>(y), svreinterpret_u16(both));
}

inline svbool_t first(std::size_t i, std::size_t size, const float*) { return svwhilelt_b32_u64(i, size); }
inline svbool_t first(std::size_t i, std::size_t size, const bf16*) { return svwhilelt_b16_u64(i, size); }

template <typename Act, typename T>
[[gnu::noinline]] void act_and_mul_row(const T* gate, const T* up, T* y, std::size_t size) {
  constexpr std::size_t kUnroll = 8 / sizeof(T);  // chains of two or four vectors of float, for the scheduler
  const Act act;
  const std::size_t step = svcntb() / sizeof(T);
  const svbool_t all = sizeof(T) == sizeof(float) ? svptrue_b32() : svptrue_b16();
  std::size_t i = 0;
  for (; i + kUnroll * step <= size; i += kUnroll * step) {
#pragma clang loop unroll(full)
    for (std::size_t j = 0; j < kUnroll; ++j) {
      block(all, gate + i + j * step, up + i + j * step, y + i + j * step, act);
    }
  }
  for (; i < size; i += step) {
    block(first(i, size, y), gate + i, up + i, y + i, act);
  }
}

}  // namespace
}  // namespace axion::sve2
