/// Rotary position embedding of queries and keys.
#pragma once

#include "axion/types.h"

namespace axion {

/// Rotates the first `rot_dim` of the `head_size` elements of every head of token t by the angles of positions[t] and
/// copies the others (Phi rotates 96 of 128). With c = cos_sin[p][i] and s = cos_sin[p][rot_dim / 2 + i] a pair (a, b)
/// becomes (a*c - b*s, b*c + a*s); pair i is elements (i, i + rot_dim / 2) when is_neox, else (2i, 2i + 1).
///
/// positions: one a token, any order, repetitions allowed, each in [0, rows of cos_sin) (not checked here).
/// cos_sin: [max_position, rot_dim] contiguous, cosines then sines, T's own precision or float (vLLM's layout).
/// query: `heads` heads a token, contiguous within the token, tokens `query_stride` elements apart; key likewise with
/// kv_heads, which may be 0 (key is then not read). Outputs may be the inputs (same pointer and stride), else must not
/// overlap them. rot_dim is even and at most head_size. No alignment is required.
/// Computed in float, rounded to T once: |error| <= half an ULP of T + 2^-23 * (|a*c| + |b*s|). NaN and infinity act
/// on their own pair only.
template <typename T, typename C>
struct Rotary {
  const std::int64_t* positions;
  const C* cos_sin;
  const T* query;
  const T* key;
  T* query_out;
  T* key_out;
  std::size_t heads;
  std::size_t kv_heads;
  std::size_t head_size;
  std::size_t rot_dim;
  std::size_t query_stride;
  std::size_t key_stride;
  std::size_t query_out_stride;
  std::size_t key_out_stride;
  bool is_neox;
};

/// One implementation of the family, named by the types of the data and of cos_sin. Each computes a range of tokens.
struct RotaryKernels {
  void (*rotary_f32_f32)(const Rotary<float, float>&, Range tokens);
  void (*rotary_f32_bf16)(const Rotary<float, bf16>&, Range tokens);
  void (*rotary_bf16_f32)(const Rotary<bf16, float>&, Range tokens);
  void (*rotary_bf16_bf16)(const Rotary<bf16, bf16>&, Range tokens);
};

namespace portable {
extern const RotaryKernels rotary_kernels;
}
#if defined(__aarch64__)
namespace neon {
extern const RotaryKernels rotary_kernels;
}
#endif

}  // namespace axion
