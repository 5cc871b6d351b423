#include "axion/rotary.h"

#include "vec_neon.h"

namespace axion::neon {
namespace {

/// Eight pairs: first and second elements apart.
struct Pairs {
  Floats8 a, b;
};

inline Pairs load_interleaved(const float* p) {
  const float32x4x2_t lo = vld2q_f32(p), hi = vld2q_f32(p + kBlock);
  return {{lo.val[0], hi.val[0]}, {lo.val[1], hi.val[1]}};
}
inline Pairs load_interleaved(const bf16* p) {
  const uint16x8x2_t v = vld2q_u16(reinterpret_cast<const std::uint16_t*>(p));
  return {widen(v.val[0]), widen(v.val[1])};
}
inline void store_interleaved(float* p, Pairs v) {
  const float32x4x2_t lo = {{v.a.lo, v.b.lo}}, hi = {{v.a.hi, v.b.hi}};
  vst2q_f32(p, lo);
  vst2q_f32(p + kBlock, hi);
}
inline void store_interleaved(bf16* p, Pairs v) {
  const uint16x8x2_t bits = {{narrow(v.a), narrow(v.b)}};
  vst2q_u16(reinterpret_cast<std::uint16_t*>(p), bits);
}

inline Pairs rotate(Pairs v, Floats8 c, Floats8 s) {
  return {{vfmsq_f32(vmulq_f32(v.a.lo, c.lo), v.b.lo, s.lo), vfmsq_f32(vmulq_f32(v.a.hi, c.hi), v.b.hi, s.hi)},
          {vfmaq_f32(vmulq_f32(v.b.lo, c.lo), v.a.lo, s.lo), vfmaq_f32(vmulq_f32(v.b.hi, c.hi), v.a.hi, s.hi)}};
}

template <typename T, typename C>
[[gnu::always_inline]] inline void rotate_split(const T* x, T* y, const C* cosines, std::size_t half) {
  const C* sines = cosines + half;
  std::size_t i = 0;
  for (; i + kBlock <= half; i += kBlock) {
    const Pairs v = rotate({load8(x + i), load8(x + half + i)}, load8(cosines + i), load8(sines + i));
    store8(y + i, v.a);
    store8(y + half + i, v.b);
  }
  if (i < half) {
    const std::size_t count = half - i;
    const T zero = from_float<T>(0.0f);
    const C none = from_float<C>(0.0f);
    const Pairs pairs = {load8(Tail<T>(x + i, count, zero).element),
                         load8(Tail<T>(x + half + i, count, zero).element)};
    const Pairs v = rotate(pairs, load8(Tail<C>(cosines + i, count, none).element),
                           load8(Tail<C>(sines + i, count, none).element));
    Tail<T> a, b;
    store8(a.element, v.a);
    store8(b.element, v.b);
    a.copy_to(y + i, count);
    b.copy_to(y + half + i, count);
  }
}

template <typename T, typename C>
void rotate_interleaved(const T* x, T* y, const C* cosines, std::size_t half) {
  const C* sines = cosines + half;
  std::size_t i = 0;
  for (; i + kBlock <= half; i += kBlock) {
    store_interleaved(y + 2 * i, rotate(load_interleaved(x + 2 * i), load8(cosines + i), load8(sines + i)));
  }
  if (i < half) {
    const std::size_t count = half - i;
    const C none = from_float<C>(0.0f);
    T pairs[2 * kBlock];
    for (std::size_t j = 0; j < 2 * kBlock; ++j) {
      pairs[j] = j < 2 * count ? x[2 * i + j] : from_float<T>(0.0f);
    }
    store_interleaved(pairs, rotate(load_interleaved(pairs), load8(Tail<C>(cosines + i, count, none).element),
                                    load8(Tail<C>(sines + i, count, none).element)));
    for (std::size_t j = 0; j < 2 * count; ++j) {
      y[2 * i + j] = pairs[j];
    }
  }
}

template <typename T, typename C>
[[gnu::noinline]] void rotate_token(const Rotary<T, C>& a, const T* x, T* y, std::size_t heads, const C* cosines) {
  for (std::size_t head = 0; head < heads; ++head, x += a.head_size, y += a.head_size) {
    if (a.is_neox) {
      rotate_split(x, y, cosines, a.rot_dim / 2);
    } else {
      rotate_interleaved(x, y, cosines, a.rot_dim / 2);
    }
    if (x != y) {
      std::memcpy(y + a.rot_dim, x + a.rot_dim, (a.head_size - a.rot_dim) * sizeof(T));
    }
  }
}

template <typename T, typename C>
void rotary(const Rotary<T, C>& a, Range tokens) {
  for (std::size_t t = tokens.begin; t < tokens.end; ++t) {
    const C* cosines = a.cos_sin + static_cast<std::size_t>(a.positions[t]) * a.rot_dim;
    rotate_token(a, a.query + t * a.query_stride, a.query_out + t * a.query_out_stride, a.heads, cosines);
    if (a.kv_heads > 0) {
      rotate_token(a, a.key + t * a.key_stride, a.key_out + t * a.key_out_stride, a.kv_heads, cosines);
    }
  }
}

}  // namespace

const RotaryKernels rotary_kernels = {
    rotary<float, float>,
    rotary<float, bf16>,
    rotary<bf16, float>,
    rotary<bf16, bf16>,
};

}  // namespace axion::neon
