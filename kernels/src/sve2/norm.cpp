#include "axion/norm.h"

#include <arm_sve.h>

#include <cmath>

#if !defined(__ARM_FEATURE_SVE2) || !defined(__ARM_FEATURE_SVE_BF16)
#error "src/sve2 needs the flags of AXION_SVE2_FLAGS"
#endif

// Worth a unit beside neon's: BFCVT and BFCVTNT write the even and odd elements of one vector, in one operation each
// where NEON's BFCVTN takes two and a ZIP.
namespace axion::sve2 {
namespace {

inline svfloat32_t load(svbool_t p, const float* x) { return svld1(p, x); }
inline svbfloat16_t load(svbool_t p, const bf16* x) { return svld1(p, reinterpret_cast<const bfloat16_t*>(x)); }
inline void store(svbool_t p, float* y, svfloat32_t v) { svst1(p, y, v); }
inline void store(svbool_t p, bf16* y, svbfloat16_t v) { svst1(p, reinterpret_cast<bfloat16_t*>(y), v); }
inline svfloat32_t even(svbfloat16_t v) {
  return svreinterpret_f32(svlsl_x(svptrue_b32(), svreinterpret_u32(v), 16));
}
inline svfloat32_t odd(svbfloat16_t v) {
  return svreinterpret_f32(svand_x(svptrue_b32(), svreinterpret_u32(v), 0xffff0000u));
}
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

/// What the norm is taken of: a row as it is.
template <typename T>
struct Row {
  const T* x;

  auto vector(svbool_t p, std::size_t i) const { return load(p, x + i); }
};

/// ... or the sum of two, stored as it is computed; the norm is that of the rounded sum.
template <typename T>
struct SumOfRows {
  const T* x;
  const T* residual;
  T* sum;

  auto vector(svbool_t p, std::size_t i) const {
    const auto rounded = add(load(p, x + i), load(p, residual + i));
    store(p, sum + i, rounded);
    return rounded;
  }
};

/// Eight sums in flight: FMLA accumulates every two cycles, BFDOT every three, on four pipes. The order is fixed by
/// `size` alone.
template <typename Source>
[[gnu::always_inline]] inline float sum_of_squares(const Source& source, std::size_t size) {
  const std::size_t step = svcntb() / sizeof(*source.x);
  const svbool_t whole = lanes<true>(0, size, source.x), all = svptrue_b32();
  svfloat32_t s0 = svdup_f32(0.0f), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  std::size_t i = 0;
  for (const std::size_t end = size / (8 * step) * (8 * step); i != end; i += 8 * step) {
    s0 = add_squares(s0, source.vector(whole, i));
    s1 = add_squares(s1, source.vector(whole, i + step));
    s2 = add_squares(s2, source.vector(whole, i + 2 * step));
    s3 = add_squares(s3, source.vector(whole, i + 3 * step));
    s4 = add_squares(s4, source.vector(whole, i + 4 * step));
    s5 = add_squares(s5, source.vector(whole, i + 5 * step));
    s6 = add_squares(s6, source.vector(whole, i + 6 * step));
    s7 = add_squares(s7, source.vector(whole, i + 7 * step));
  }
  for (; i < size; i += step) {
    s0 = add_squares(s0, source.vector(lanes<false>(i, size, source.x), i));
  }
  s0 = svadd_x(all, svadd_x(all, s0, s4), svadd_x(all, s2, s6));
  s1 = svadd_x(all, svadd_x(all, s1, s5), svadd_x(all, s3, s7));
  return svaddv(all, svadd_x(all, s0, s1));
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

template <bool kUnitOffset, typename T>
[[gnu::always_inline]] inline void scale_row(const T* x, const T* weight, T* y, std::size_t size, float inverse) {
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

/// One row; its own function, so that the modelled benchmark has a symbol for it.
template <typename Source, typename T>
[[gnu::noinline]] void normalise(const Source& source, const T* x, const T* weight, T* y, std::size_t size, float eps,
                                 bool unit_offset) {
  const float inverse = 1.0f / std::sqrt(sum_of_squares(source, size) / static_cast<float>(size) + eps);
  if (unit_offset) {
    scale_row<true>(x, weight, y, size, inverse);
  } else {
    scale_row<false>(x, weight, y, size, inverse);
  }
}

template <typename T>
void rms_norm(const RmsNorm<T>& a, Range rows) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    const T* x = a.x + row * a.x_stride;
    normalise(Row<T>{x}, x, a.weight, a.y + row * a.y_stride, a.size, a.eps, a.unit_offset);
  }
}

template <typename T>
void fused_add_rms_norm(const FusedAddRmsNorm<T>& a, Range rows) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    const std::size_t at = row * a.stride;
    T* sum = a.residual_out + at;
    normalise(SumOfRows<T>{a.x + at, a.residual + at, sum}, sum, a.weight, a.y + at, a.size, a.eps, a.unit_offset);
  }
}

}  // namespace

const NormKernels norm_kernels = {
    rms_norm<float>,
    rms_norm<bf16>,
    fused_add_rms_norm<float>,
    fused_add_rms_norm<bf16>,
};

}  // namespace axion::sve2
