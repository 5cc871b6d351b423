#include "../softmax_rows.h"
#include "exp_sve2.h"

namespace axion::sve2 {
namespace {

struct SoftmaxRow {
  template <typename T>
  static float maximum(const T* x, std::size_t size) {
    const std::size_t step = svcntw();
    svfloat32_t m0 = svdup_f32(-kInfinity), m1 = m0, m2 = m0, m3 = m0;
    const svbool_t all = svptrue_b32();
    std::size_t i = 0;
    for (; i + 4 * step <= size; i += 4 * step) {
      m0 = svmax_x(all, m0, load(all, x + i));
      m1 = svmax_x(all, m1, load(all, x + i + step));
      m2 = svmax_x(all, m2, load(all, x + i + 2 * step));
      m3 = svmax_x(all, m3, load(all, x + i + 3 * step));
    }
    for (; i < size; i += step) {
      const svbool_t p = svwhilelt_b32_u64(i, size);
      m0 = svmax_m(p, m0, load(p, x + i));
    }
    return svmaxv(all, svmax_x(all, svmax_x(all, m0, m1), svmax_x(all, m2, m3)));
  }

  /// The scale is part of the constants. Not inlined, so that the modelled benchmark finds it.
  template <typename T>
  [[gnu::noinline]] static float exp_sum(const T* x, float* y, std::size_t size, float max, float scale) {
    const ExpTable k = exp_table(static_cast<double>(scale));
    const float floor = kExpFloor / scale;
    const std::size_t step = svcntw();
    const svbool_t all = svptrue_b32();
    svfloat32_t s0 = svdup_f32(0.0f), s1 = s0, s2 = s0, s3 = s0;
    const auto block = [&](svbool_t p, std::size_t at, svfloat32_t sum) {
      const svfloat32_t e = exp_shifted<kExpShift>(p, k, svmax_x(p, svsub_x(p, load(p, x + at), max), floor));
      store(p, y + at, e);
      return svadd_m(p, sum, e);
    };
    std::size_t i = 0;
    for (; i + 4 * step <= size; i += 4 * step) {
      s0 = block(all, i, s0);
      s1 = block(all, i + step, s1);
      s2 = block(all, i + 2 * step, s2);
      s3 = block(all, i + 3 * step, s3);
    }
    for (; i < size; i += step) {
      s0 = block(svwhilelt_b32_u64(i, size), i, s0);
    }
    return svaddv(all, svadd_x(all, svadd_x(all, s0, s1), svadd_x(all, s2, s3)));
  }

  template <typename T>
  static void scale_row(const float* x, T* y, std::size_t size, float factor) {
    for (std::size_t i = 0; i < size; i += svcntw()) {
      const svbool_t p = svwhilelt_b32_u64(i, size);
      store(p, y + i, svmul_x(p, load(p, x + i), factor));
    }
  }
};

}  // namespace

const SoftmaxKernels softmax_kernels = kSoftmaxRows<SoftmaxRow>;

}  // namespace axion::sve2
