#include "../norm_rows.h"
#include "vec_sve2.h"

// Worth a unit beside neon's: BFCVT and BFCVTNT write the even and odd elements of one vector, in one operation each
// where NEON's BFCVTN takes two and a ZIP.
namespace axion::sve2 {
namespace {

inline svfloat32_t load(svbool_t p, const float* x) { return svld1(p, x); }
inline svbfloat16_t load(svbool_t p, const bf16* x) { return svld1(p, reinterpret_cast<const bfloat16_t*>(x)); }
inline void store(svbool_t p, float* y, svfloat32_t v) { svst1(p, y, v); }
inline void store(svbool_t p, bf16* y, svbfloat16_t v) { svst1(p, reinterpret_cast<bfloat16_t*>(y), v); }
inline svbfloat16_t narrow(svfloat32_t evens, svfloat32_t odds) {
  const svbool_t all = svptrue_b32();
  return svcvtnt_bf16_x(svcvt_bf16_x(all, evens), all, odds);
}
inline svfloat32_t add(svfloat32_t v, svfloat32_t w) { return svadd_x(svptrue_b32(), v, w); }
inline svbfloat16_t add(svbfloat16_t v, svbfloat16_t w) { return narrow(add(even(v), even(w)), add(odd(v), odd(w))); }

/// The elements [i, i + step) of a row, a vector's worth; those from `size` on are zeros. kWhole: there are none.
template <bool kWhole, typename T>
inline svbool_t lanes(std::size_t i, std::size_t size, const T*) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return kWhole ? svptrue_b32() : svwhilelt_b32_u64(i, size);
  } else {
    return kWhole ? svptrue_b16() : svwhilelt_b16_u64(i, size);
  }
}

inline svfloat32_t add_squares(svfloat32_t sum, svfloat32_t v) { return svmla_x(svptrue_b32(), sum, v, v); }
/// BFDOT rounds its pair and the sum to odd: two errors of 2^-23 for two squares, against two of 2^-24 with FMLA.
inline svfloat32_t add_squares(svfloat32_t sum, svbfloat16_t v) { return svbfdot(sum, v, v); }

/// The elements that p selects of what the norm is taken of; others are zeros.
template <typename T>
inline auto vector(const Row<T>& row, svbool_t p, std::size_t i) {
  return load(p, row.x + i);
}
template <typename T>
inline auto vector(const SumOfRows<T>& rows, svbool_t p, std::size_t i) {
  const auto rounded = add(load(p, rows.x + i), load(p, rows.residual + i));
  store(p, rows.sum + i, rounded);
  return rounded;
}

/// x * inverse * (w or 1 + w), the latter as x + x * w, which does not round 1 + w.
template <bool kUnitOffset>
inline void scale_vector(svbool_t p, const float* x, const float* weight, float* y, float inverse) {
  const svbool_t all = svptrue_b32();
  const svfloat32_t v = svmul_x(all, svld1(p, x), inverse), w = svld1(p, weight);
  svst1(p, y, kUnitOffset ? svmla_x(all, v, v, w) : svmul_x(all, v, w));
}

/// The product x * w of two bf16 is exact in float.
template <bool kUnitOffset>
inline void scale_vector(svbool_t p, const bf16* x, const bf16* weight, bf16* y, float inverse) {
  const svbool_t all = svptrue_b32();
  const svbfloat16_t v = load(p, x), w = load(p, weight);
  const svfloat32_t evens = svbfmlalb(kUnitOffset ? even(v) : svdup_f32(0.0f), v, w);
  const svfloat32_t odds = svbfmlalt(kUnitOffset ? odd(v) : svdup_f32(0.0f), v, w);
  store(p, y, narrow(svmul_x(all, evens, inverse), svmul_x(all, odds, inverse)));
}

struct NormRow {
  /// Eight sums in flight: FMLA accumulates every two cycles, BFDOT every three, on four pipes. The order is fixed by
  /// `size` alone.
  template <typename Source>
  [[gnu::always_inline]] static float sum_of_squares(const Source& source, std::size_t size) {
    const std::size_t step = svcntb() / sizeof(*source.x);
    const svbool_t whole = lanes<true>(0, size, source.x), all = svptrue_b32();
    svfloat32_t s0 = svdup_f32(0.0f), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    std::size_t i = 0;
    for (const std::size_t end = size / (8 * step) * (8 * step); i != end; i += 8 * step) {
      s0 = add_squares(s0, vector(source, whole, i));
      s1 = add_squares(s1, vector(source, whole, i + step));
      s2 = add_squares(s2, vector(source, whole, i + 2 * step));
      s3 = add_squares(s3, vector(source, whole, i + 3 * step));
      s4 = add_squares(s4, vector(source, whole, i + 4 * step));
      s5 = add_squares(s5, vector(source, whole, i + 5 * step));
      s6 = add_squares(s6, vector(source, whole, i + 6 * step));
      s7 = add_squares(s7, vector(source, whole, i + 7 * step));
    }
    for (; i < size; i += step) {
      s0 = add_squares(s0, vector(source, lanes<false>(i, size, source.x), i));
    }
    s0 = svadd_x(all, svadd_x(all, s0, s4), svadd_x(all, s2, s6));
    s1 = svadd_x(all, svadd_x(all, s1, s5), svadd_x(all, s3, s7));
    return svaddv(all, svadd_x(all, s0, s1));
  }

  template <bool kUnitOffset, typename T>
  [[gnu::always_inline]] static void scale_row(const T* x, const T* weight, T* y, std::size_t size, float inverse) {
    constexpr std::size_t kUnroll = 4;
    const std::size_t step = svcntb() / sizeof(T);
    std::size_t i = 0;
    for (const std::size_t end = size / (kUnroll * step) * (kUnroll * step); i != end; i += kUnroll * step) {
#pragma clang loop unroll(full)
      for (std::size_t j = i, n = 0; n < kUnroll; ++n, j += step) {
        scale_vector<kUnitOffset>(lanes<true>(j, size, x), x + j, weight + j, y + j, inverse);
      }
    }
    for (; i < size; i += step) {
      scale_vector<kUnitOffset>(lanes<false>(i, size, x), x + i, weight + i, y + i, inverse);
    }
  }
};

}  // namespace

const NormKernels norm_kernels = kNormRows<NormRow>;

}  // namespace axion::sve2
