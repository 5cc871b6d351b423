#include "axion/norm.h"

#include <gtest/gtest.h>

#include "guarded.h"
#include "isa.h"
#include "reference.h"

namespace axion::test {
namespace {

template <typename T>
void run(const NormKernels& k, const RmsNorm<T>& a, Range rows) {
  if constexpr (std::is_same_v<T, float>) {
    k.rms_norm_f32(a, rows);
  } else {
    k.rms_norm_bf16(a, rows);
  }
}

template <typename T>
void run(const NormKernels& k, const FusedAddRmsNorm<T>& a, Range rows) {
  if constexpr (std::is_same_v<T, float>) {
    k.fused_add_rms_norm_f32(a, rows);
  } else {
    k.fused_add_rms_norm_bf16(a, rows);
  }
}

/// The row in double, and per element the bound: rounding to T, 4 ULP of float, and the sum's size * 2^-24 (halved by
/// the square root; a tree of lanes does far better). A product that is denormal before it is scaled loses 2^-149.
template <typename T>
void expect_normalised(const T* x, const T* weight, const T* y, std::size_t size, double eps, bool unit_offset) {
  double sum = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    sum += static_cast<double>(to_float(x[i])) * static_cast<double>(to_float(x[i]));
  }
  const double inverse = 1.0 / std::sqrt(sum / static_cast<double>(size) + eps);
  const double per_lane = 0.5 * (static_cast<double>(size) / 16.0 + 5.0);
  for (std::size_t i = 0; i < size; ++i) {
    const double w = static_cast<double>(to_float(weight[i])) + (unit_offset ? 1.0 : 0.0);
    const double want = static_cast<double>(to_float(x[i])) * inverse * w;
    const double bound = kUnitRoundoff<T> * std::abs(want) * 1.0001 + (4.0 + per_lane) * 0x1p-24 * std::abs(want) +
                         0x1p-148 * (1.0 + inverse) + (sizeof(T) == 2 ? 0x1p-134 : 0.0);
    ASSERT_NEAR(static_cast<double>(to_float(y[i])), want, bound) << "size " << size << " element " << i;
  }
}

class NormTest : public testing::TestWithParam<Isa<NormKernels>> {
 protected:
  template <typename T>
  void check(std::size_t size, const std::vector<float>& values, float eps, bool unit_offset, std::size_t pad = 0) {
    const std::size_t rows = values.size() / size;
    Guarded<T> x(rows * (size + pad) - pad), y(rows * (size + pad) - pad);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < size; ++i) {
        x[r * (size + pad) + i] = from_float<T>(values[r * size + i]);
      }
    }
    std::vector<float> w = normal_values(size, 7);
    for (std::size_t i = 0; i < size; i += 3) {
      w[i] = unit_offset ? -1.0f + w[i] * 0.01f : 50.0f;  // Gemma's extremes
    }
    const Guarded<T> weight(rounded<T>(w));
    const RmsNorm<T> args{x.data(), weight.data(), y.data(), size, size + pad, size + pad, eps, unit_offset};
    run(*GetParam().kernels, args, {0, rows});
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t at = r * (size + pad);
      expect_normalised(x.data() + at, weight.data(), y.data() + at, size, static_cast<double>(eps), unit_offset);
    }
    const std::vector<T> whole = y.copy();  // row by row, and in place, give the same bits
    for (std::size_t r = rows; r-- > 0;) {
      run(*GetParam().kernels, args, {r, r + 1});
    }
    EXPECT_TRUE(same_bits(whole.data(), y.data(), whole.size()));
    RmsNorm<T> in_place = args;
    in_place.y = x.data();
    run(*GetParam().kernels, in_place, {0, rows});
    for (std::size_t r = 0; r < rows; ++r) {
      EXPECT_TRUE(same_bits(whole.data() + r * (size + pad), x.data() + r * (size + pad), size));
    }
  }

  template <typename T>
  void check_fused(std::size_t size, bool unit_offset) {
    constexpr std::size_t kRows = 3;
    const std::size_t stride = size + 5, count = (kRows - 1) * stride + size;
    const Guarded<T> x(rounded<T>(outlier_values(count, 1))), residual(rounded<T>(normal_values(count, 2, 3.0)));
    const Guarded<T> weight(rounded<T>(normal_values(size, 3)));
    Guarded<T> y(count), sum(count);
    const FusedAddRmsNorm<T> args{x.data(),   residual.data(), weight.data(), y.data(), sum.data(),
                                  size,       stride,          1e-5f,         unit_offset};
    run(*GetParam().kernels, args, {0, kRows});
    for (std::size_t r = 0; r < kRows; ++r) {
      const std::size_t at = r * stride;
      for (std::size_t i = at; i < at + size; ++i) {
        ASSERT_EQ(bits_of(sum[i]), bits_of(from_float<T>(to_float(x[i]) + to_float(residual[i]))));
      }
      expect_normalised(sum.data() + at, weight.data(), y.data() + at, size, 1e-5, unit_offset);
    }
    Guarded<T> alone(count);  // the contract: equal to the unfused sequence, bit for bit
    const RmsNorm<T> norm{sum.data(), weight.data(), alone.data(), size, stride, stride, 1e-5f, unit_offset};
    run(*GetParam().kernels, norm, {0, kRows});
    for (std::size_t r = 0; r < kRows; ++r) {
      EXPECT_TRUE(same_bits(alone.data() + r * stride, y.data() + r * stride, size));
    }
  }
};

TEST_P(NormTest, EverySizeUpToTwoUnrolledBlocksMeetsTheBound) {
  for (std::size_t size = 1; size <= 72; ++size) {
    for (bool unit_offset : {false, true}) {
      check<float>(size, normal_values(3 * size, 11), 1e-6f, unit_offset, size % 4);
      check<bf16>(size, normal_values(3 * size, 12), 1e-6f, unit_offset, size % 4);
    }
  }
}

TEST_P(NormTest, TheModelsSizesMeetTheBoundWithOutliers) {
  for (std::size_t size : {128u, 1536u, 3072u, 3584u, 4096u, 5376u}) {
    for (bool unit_offset : {false, true}) {
      check<float>(size, outlier_values(2 * size, 13), 1e-6f, unit_offset);
      check<bf16>(size, outlier_values(2 * size, 14), 1e-6f, unit_offset);
    }
  }
}

TEST_P(NormTest, ZeroAndDenormalRowsStayFinite) {
  for (float value : {0.0f, 1e-40f, 1e-30f}) {
    check<float>(37, std::vector<float>(37, value), 1e-6f, false);
    check<bf16>(37, std::vector<float>(37, value), 1e-6f, true);
  }
}

TEST_P(NormTest, FusedAddEqualsAddThenNorm) {
  for (std::size_t size : {1u, 7u, 8u, 9u, 31u, 33u, 70u, 1536u, 3584u}) {
    for (bool unit_offset : {false, true}) {
      check_fused<float>(size, unit_offset);
      check_fused<bf16>(size, unit_offset);
    }
  }
}

template <typename T>
void expect_nan_and_infinity_rules(const NormKernels& k, std::size_t position) {
  constexpr std::size_t kSize = 45;
  std::vector<float> values = normal_values(2 * kSize, 5);
  const std::vector<T> weight = rounded<T>(std::vector<float>(kSize, 1.0f));
  for (float special : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    values[position] = special;
    const std::vector<T> x = rounded<T>(values);
    std::vector<T> y(2 * kSize);
    run(k, RmsNorm<T>{x.data(), weight.data(), y.data(), kSize, kSize, kSize, 1e-6f, false}, {0, 2});
    for (std::size_t i = 0; i < kSize; ++i) {
      const float got = to_float(y[i]);
      EXPECT_EQ(std::isnan(got), std::isnan(special) || i == position) << i;
      EXPECT_TRUE(std::isnan(got) || got == 0.0f) << i;
      EXPECT_TRUE(std::isfinite(to_float(y[kSize + i]))) << "the next row is not touched";
    }
  }
}

TEST_P(NormTest, NanTakesTheWholeRowAndInfinityItself) {
  for (std::size_t position : {0u, 17u, 31u, 32u, 40u, 44u}) {
    expect_nan_and_infinity_rules<float>(*GetParam().kernels, position);
    expect_nan_and_infinity_rules<bf16>(*GetParam().kernels, position);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, NormTest, testing::ValuesIn(AXION_SVE2_TABLES(norm_kernels)), isa_name<NormKernels>);

}  // namespace
}  // namespace axion::test
