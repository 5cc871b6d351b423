#include "../rotary_tokens.h"
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

struct RotaryHead {
  template <typename T, typename C>
  [[gnu::always_inline]] static void rotate_split(const T* x, T* y, const C* cosines, std::size_t half) {
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
  static void rotate_interleaved(const T* x, T* y, const C* cosines, std::size_t half) {
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
};

}  // namespace

const RotaryKernels rotary_kernels = kRotaryTokens<RotaryHead>;

}  // namespace axion::neon
