/// The columns of one row of a gated activation: everything but the activation itself, which the modelled benchmark
/// replaces by nothing to see what the rest costs (bench/gated_product_neon.cpp).
#pragma once

#include "vec_neon.h"

namespace axion::neon {
namespace {

/// y[i] = act(gate[i]) * up[i].
template <typename Act, typename T>
[[gnu::noinline]] void act_and_mul_row(const T* gate, const T* up, T* y, std::size_t size) {
  const Act act;
  const auto block = [&act](Floats8 g, Floats8 u) {
    return Floats8{vmulq_f32(act(g.lo), u.lo), vmulq_f32(act(g.hi), u.hi)};
  };
  std::size_t i = 0;
  for (; i + 2 * kBlock <= size; i += 2 * kBlock) {  // two independent chains for the scheduler
    const Floats8 first = block(load8(gate + i), load8(up + i));
    const Floats8 second = block(load8(gate + i + kBlock), load8(up + i + kBlock));
    store8(y + i, first);
    store8(y + i + kBlock, second);
  }
  for (; i + kBlock <= size; i += kBlock) {
    store8(y + i, block(load8(gate + i), load8(up + i)));
  }
  if (i < size) {
    const std::size_t count = size - i;
    Tail<T> last;
    store8(last.element, block(load8(Tail<T>(gate + i, count, from_float<T>(0.0f)).element),
                               load8(Tail<T>(up + i, count, from_float<T>(0.0f)).element)));
    last.copy_to(y + i, count);
  }
}

}  // namespace
}  // namespace axion::neon
