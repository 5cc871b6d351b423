/// The tokens and heads of rotary embedding, the same for every table. A table's own is the rotation of one head's
/// pairs, a type with rotate_split(x, y, cosines, pairs), whose halves are the pairs' first and second elements, and
/// rotate_interleaved(x, y, cosines, pairs), where these are neighbours. Sines follow the cosines.
/// Internal linkage: each unit compiles its own copy, for its own ISA.
#pragma once

#include "axion/rotary.h"

namespace axion {
namespace {

/// The heads of one token; its own function, so that the modelled benchmark has a symbol for it.
template <typename Isa, typename T, typename C>
[[gnu::noinline]] void rotate_token(const Rotary<T, C>& a, const T* x, T* y, std::size_t heads, const C* cosines) {
  for (std::size_t head = 0; head < heads; ++head, x += a.head_size, y += a.head_size) {
    if (a.is_neox) {
      Isa::rotate_split(x, y, cosines, a.rot_dim / 2);
    } else {
      Isa::rotate_interleaved(x, y, cosines, a.rot_dim / 2);
    }
    if (x != y) {
      std::memcpy(y + a.rot_dim, x + a.rot_dim, (a.head_size - a.rot_dim) * sizeof(T));
    }
  }
}

template <typename Isa, typename T, typename C>
void rotary(const Rotary<T, C>& a, Range tokens) {
  for (std::size_t t = tokens.begin; t < tokens.end; ++t) {
    const C* cosines = a.cos_sin + static_cast<std::size_t>(a.positions[t]) * a.rot_dim;
    rotate_token<Isa>(a, a.query + t * a.query_stride, a.query_out + t * a.query_out_stride, a.heads, cosines);
    if (a.kv_heads > 0) {
      rotate_token<Isa>(a, a.key + t * a.key_stride, a.key_out + t * a.key_out_stride, a.kv_heads, cosines);
    }
  }
}

template <typename Isa>
constexpr RotaryKernels kRotaryTokens = {
    rotary<Isa, float, float>,
    rotary<Isa, float, bf16>,
    rotary<Isa, bf16, float>,
    rotary<Isa, bf16, bf16>,
};

}  // namespace
}  // namespace axion
