#include "../norm_rows.h"
#include "vec_neon.h"

namespace axion::neon {
namespace {

// FMLA accumulates every two cycles, BFDOT every three, on four pipes: eight sums in flight keep them busy, or nearly.
constexpr std::size_t kSums = 8;

struct Sums {
  float32x4_t lane[kSums] = {};

  /// The order is fixed by the row's size alone.
  float total() {
    for (std::size_t width = kSums / 2; width > 0; width /= 2) {
      for (std::size_t j = 0; j < width; ++j) {
        lane[j] = vaddq_f32(lane[j], lane[j + width]);
      }
    }
    return vaddvq_f32(lane[0]);
  }
};

/// Eight elements as the next step takes them: bf16 stays packed.
inline Floats8 load_packed(const float* x) { return load8(x); }
inline uint16x8_t load_packed(const bf16* x) { return load_bits(x); }

/// Adds the squares of eight elements to one sum or two. BFDOT rounds its pair and the sum to odd: two errors of 2^-23
/// for two squares, against two of 2^-24 with FMLA.
inline void add_squares(float32x4_t* sums, Floats8 v) {
  sums[0] = vfmaq_f32(sums[0], v.lo, v.lo);
  sums[1] = vfmaq_f32(sums[1], v.hi, v.hi);
}
inline void add_squares(float32x4_t* sums, uint16x8_t bits) {
  const bfloat16x8_t v = vreinterpretq_bf16_u16(bits);
  sums[0] = vbfdotq_f32(sums[0], v, v);
}

inline Floats8 store_packed(float* y, Floats8 v) {
  store8(y, v);
  return v;
}
inline uint16x8_t store_packed(bf16* y, Floats8 v) {
  const uint16x8_t bits = narrow(v);
  vst1q_u16(reinterpret_cast<std::uint16_t*>(y), bits);
  return bits;
}

/// A block of what the norm is taken of, and its last `count` elements.
template <typename T>
[[gnu::always_inline]] inline auto block(const Row<T>& row, std::size_t i) {
  return load_packed(row.x + i);
}
template <typename T>
auto tail(const Row<T>& row, std::size_t i, std::size_t count) {
  return load_packed(Tail<T>(row.x + i, count, from_float<T>(0.0f)).element);
}

template <typename T>
inline Floats8 add(const T* a, const T* b) {
  const Floats8 v = load8(a), w = load8(b);
  return {vaddq_f32(v.lo, w.lo), vaddq_f32(v.hi, w.hi)};
}
template <typename T>
[[gnu::always_inline]] inline auto block(const SumOfRows<T>& rows, std::size_t i) {
  return store_packed(rows.sum + i, add(rows.x + i, rows.residual + i));
}
template <typename T>
auto tail(const SumOfRows<T>& rows, std::size_t i, std::size_t count) {
  const T zero = from_float<T>(0.0f);
  Tail<T> last;
  const Tail<T> a(rows.x + i, count, zero), b(rows.residual + i, count, zero);
  const auto packed = store_packed(last.element, add(a.element, b.element));
  last.copy_to(rows.sum + i, count);
  return packed;
}

/// x * inverse * (w or 1 + w), the latter as x + x * w, which does not round 1 + w.
template <bool kUnitOffset>
inline void scale8(const float* x, const float* weight, float* y, float inverse) {
  const Floats8 v = load8(x), w = load8(weight);
  const float32x4_t lo = vmulq_n_f32(v.lo, inverse), hi = vmulq_n_f32(v.hi, inverse);
  store8(y, kUnitOffset ? Floats8{vfmaq_f32(lo, lo, w.lo), vfmaq_f32(hi, hi, w.hi)}
                        : Floats8{vmulq_f32(lo, w.lo), vmulq_f32(hi, w.hi)});
}

/// The product x * w of two bf16 is exact in float, also when x is added to it all but exactly: only the even and odd
/// results need to be put in order again, after they were narrowed.
template <bool kUnitOffset>
inline void scale8(const bf16* x, const bf16* weight, bf16* y, float inverse) {
  const uint16x8_t bits = load_bits(x);
  const bfloat16x8_t v = vreinterpretq_bf16_u16(bits), w = vreinterpretq_bf16_u16(load_bits(weight));
  float32x4_t even = vdupq_n_f32(0.0f), odd = even;
  if constexpr (kUnitOffset) {
    const uint32x4_t pair = vreinterpretq_u32_u16(bits);
    even = vreinterpretq_f32_u32(vshlq_n_u32(pair, 16));
    odd = vreinterpretq_f32_u32(vandq_u32(pair, vdupq_n_u32(0xffff0000u)));
  }
  even = vmulq_n_f32(vbfmlalbq_f32(even, v, w), inverse);
  odd = vmulq_n_f32(vbfmlaltq_f32(odd, v, w), inverse);
  const uint16x8_t narrow_even = vreinterpretq_u16_bf16(vcvtq_low_bf16_f32(even));
  const uint16x8_t narrow_odd = vreinterpretq_u16_bf16(vcvtq_low_bf16_f32(odd));
  uint16x8_t in_order = vzip1q_u16(narrow_even, narrow_odd);
  __asm__("" : "+w"(in_order));  // no instruction: keeps clang from turning ZIP and STR into the slower ST2
  vst1q_u16(reinterpret_cast<std::uint16_t*>(y), in_order);
}

struct NormRow {
  template <typename Source>
  [[gnu::always_inline]] static float sum_of_squares(const Source& source, std::size_t size) {
    constexpr std::size_t kSumsOfBlock = sizeof(*source.x) == sizeof(float) ? 2 : 1;
    constexpr std::size_t kUnroll = kSums / kSumsOfBlock * kBlock;
    Sums sums;
    std::size_t i = 0;
    for (const std::size_t end = size / kUnroll * kUnroll; i != end; i += kUnroll) {
#pragma clang loop unroll(full)
      for (std::size_t j = 0; j < kSums; j += kSumsOfBlock) {
        add_squares(sums.lane + j, block(source, i + j / kSumsOfBlock * kBlock));
      }
    }
    for (; i + kBlock <= size; i += kBlock) {
      add_squares(sums.lane, block(source, i));
    }
    if (i < size) {
      add_squares(sums.lane, tail(source, i, size - i));
    }
    return sums.total();
  }

  template <bool kUnitOffset, typename T>
  [[gnu::always_inline]] static void scale_row(const T* x, const T* weight, T* y, std::size_t size, float inverse) {
    constexpr std::size_t kUnroll = 4 * kBlock;
    std::size_t i = 0;
    for (const std::size_t end = size / kUnroll * kUnroll; i != end; i += kUnroll) {
#pragma clang loop unroll(full)
      for (std::size_t j = 0; j < kUnroll; j += kBlock) {
        scale8<kUnitOffset>(x + i + j, weight + i + j, y + i + j, inverse);
      }
    }
    for (; i + kBlock <= size; i += kBlock) {
      scale8<kUnitOffset>(x + i, weight + i, y + i, inverse);
    }
    if (i < size) {
      const T zero = from_float<T>(0.0f);
      Tail<T> last;
      scale8<kUnitOffset>(Tail<T>(x + i, size - i, zero).element, Tail<T>(weight + i, size - i, zero).element,
                          last.element, inverse);
      last.copy_to(y + i, size - i);
    }
  }
};

}  // namespace

const NormKernels norm_kernels = kNormRows<NormRow>;

}  // namespace axion::neon
