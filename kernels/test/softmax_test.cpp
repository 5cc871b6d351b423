#include "axion/softmax.h"

#include <gtest/gtest.h>

#include "guarded.h"
#include "isa.h"
#include "reference.h"

namespace axion::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

void run(const SoftmaxKernels& k, const Softmax<float>& a, Range rows) { k.softmax_f32(a, rows); }
void run(const SoftmaxKernels& k, const Softmax<bf16>& a, Range rows) {
  Guarded<float> scratch(softmax_bf16_scratch_size(a.size));
  k.softmax_bf16(a, rows, scratch.data());
}

/// A row by definition, in double. The bound is the contract's: 8 ULP, the rounding of the difference and of its
/// product with the scale, and the sum's (16 lanes at least, so a sixteenth of the terms one after the other).
template <typename T>
void expect_softmax(const T* x, const T* y, std::size_t size, double scale) {
  double max = -static_cast<double>(kInf), sum = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    max = std::max(max, static_cast<double>(to_float(x[i])));
  }
  for (std::size_t i = 0; i < size; ++i) {
    sum += std::exp(scale * (static_cast<double>(to_float(x[i])) - max));
  }
  for (std::size_t i = 0; i < size; ++i) {
    const double z = scale * (static_cast<double>(to_float(x[i])) - max);
    if (to_float(x[i]) == -kInf) {
      ASSERT_EQ(bits_of(y[i]), 0u) << "masked: exactly zero";
      continue;
    }
    const double want = std::exp(z) / sum;
    const double relative = (8.0 + 2.0 * std::abs(z) + static_cast<double>(size) / 16.0) * 0x1p-24;
    const double denormal = sizeof(T) == 4 ? 0x1p-148 : 0x1p-134 + 0x1p-148;
    const double bound = want * (relative + 1.0001 * kUnitRoundoff<T>) + denormal;
    ASSERT_NEAR(static_cast<double>(to_float(y[i])), want, bound) << "element " << i << " of " << size << " z " << z;
  }
}

class SoftmaxTest : public testing::TestWithParam<Isa<SoftmaxKernels>> {
 protected:
  const SoftmaxKernels& kernels() const { return *GetParam().kernels; }

  template <typename T>
  std::vector<T> check(const std::vector<float>& values, std::size_t size, float scale, std::size_t pad = 0) {
    const std::size_t rows = values.size() / size, stride = size + pad;
    Guarded<T> x(rows * stride - pad), y(rows * stride - pad);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < size; ++i) {
        x[r * stride + i] = from_float<T>(values[r * size + i]);
      }
    }
    run(kernels(), Softmax<T>{x.data(), y.data(), size, stride, stride, scale}, {0, rows});
    for (std::size_t r = 0; r < rows; ++r) {
      expect_softmax(x.data() + r * stride, y.data() + r * stride, size, static_cast<double>(scale));
    }
    for (std::size_t r = rows; r-- > 0;) {  // one row at a time and in place: the same bits
      run(kernels(), Softmax<T>{x.data(), x.data(), size, stride, stride, scale}, {r, r + 1});
      EXPECT_TRUE(same_bits(x.data() + r * stride, y.data() + r * stride, size));
    }
    return y.copy();
  }
};

TEST_P(SoftmaxTest, ExpIsWithin4UlpOnAllNonPositiveFloats) {
  std::vector<float> x;
  for (std::uint64_t bits = 0x80000000u; bits < 0xc2d20000u; bits += 2311) {  // -0 .. -105
    const auto word = static_cast<std::uint32_t>(bits);
    float value;
    std::memcpy(&value, &word, sizeof value);
    x.push_back(value);
  }
  const Guarded<float> guarded(x);
  Guarded<float> y(x.size());
  const float sum = kernels().shifted_exp_sum_f32(guarded.data(), y.data(), x.size(), 0.0f);
  double worst = 0.0, want_sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = std::ldexp(std::exp(static_cast<double>(x[i])), kExpSumShift);
    worst = std::max(worst, ulp_error(y[i], want));
    want_sum += want;
    ASSERT_LE(ulp_error(y[i], want), GetParam().name == std::string("sve2") ? 2.0 : 4.0) << x[i];
  }
  EXPECT_NEAR(static_cast<double>(sum), want_sum, static_cast<double>(x.size()) / 16.0 * 0x1p-24 * want_sum);
  std::printf("  %s exp worst %.3f ULP over %zu floats\n", GetParam().name, worst, x.size());
}

TEST_P(SoftmaxTest, ExpOfSpecials) {
  const std::vector<float> x{-kInf, kNan, 0.0f, -0.0f, -104.0f, -1e4f, -3e38f, 60.0f, -1e-42f, -1e-30f};
  std::vector<float> y(x.size());
  EXPECT_TRUE(std::isnan(kernels().shifted_exp_sum_f32(x.data(), y.data(), x.size(), 0.0f)));
  for (std::size_t zero : {0u, 4u, 5u, 6u}) {
    EXPECT_EQ(y[zero] * 0x1p-32f, 0.0f) << x[zero];
  }
  EXPECT_TRUE(std::isnan(y[1]));
  for (std::size_t one : {2u, 3u, 8u, 9u}) {
    EXPECT_EQ(y[one], 0x1p32f) << x[one];
  }
  EXPECT_LE(ulp_error(y[7], std::ldexp(std::exp(60.0), 32)), 4.0);
}

TEST_P(SoftmaxTest, AnExponentialDoesNotDependOnItsPosition) {
  const std::vector<float> values = normal_values(67, 31, 20.0);
  std::vector<float> whole(67);
  kernels().shifted_exp_sum_f32(values.data(), whole.data(), 67, 50.0f);
  for (std::size_t begin = 0; begin < 67; ++begin) {
    for (std::size_t count : {std::size_t{1}, std::size_t{3}, 67 - begin}) {
      const std::size_t size = std::min(count, 67 - begin);
      const Guarded<float> x(std::vector<float>(values.begin() + begin, values.begin() + begin + size));
      Guarded<float> y(size);
      kernels().shifted_exp_sum_f32(x.data(), y.data(), size, 50.0f);
      ASSERT_TRUE(same_bits(whole.data() + begin, y.data(), size)) << begin << " " << size;
    }
  }
}

TEST_P(SoftmaxTest, EverySizeAndScaleMeetsTheBound) {
  for (std::size_t size = 1; size <= 70; ++size) {
    for (float scale : {1.0f, 0.088388347f, 3.0f}) {
      check<float>(normal_values(3 * size, 41, 12.0), size, scale, size % 3);
      check<bf16>(normal_values(3 * size, 42, 12.0), size, scale, size % 3);
    }
  }
}

TEST_P(SoftmaxTest, LongRowsOutliersAndExtremeScales) {
  for (std::size_t size : {4095u, 32768u, 131072u}) {
    check<float>(normal_values(size, 43), size, 1.0f);
    check<float>(std::vector<float>(size, -3.5f), size, 1.0f);
    check<bf16>(outlier_values(size, 44, 4001), size, 0.01f);
  }
  check<float>(normal_values(50, 45, 1e17), 50, 0x1p-60f);
  check<float>(normal_values(50, 46, 1e-17), 50, 0x1p60f);
  check<float>({1e30f, -1e30f, 1e4f}, 3, 0.3f);
}

TEST_P(SoftmaxTest, MaskedElementsAreExactlyZeroAndAMaskedRowIsZeros) {
  std::vector<float> values = normal_values(5 * 37, 47);
  for (std::size_t i = 0; i < 37; ++i) {
    values[37 + i] = -kInf;                              // all masked
    values[2 * 37 + i] = i == 36 ? 0.5f : -kInf;         // one left
    values[3 * 37 + i] = i % 3 == 0 ? -kInf : values[i];  // some
    values[4 * 37 + i] = i == 5 ? 1e4f : values[i];      // one-hot
  }
  const std::vector<float> y = check<float>(values, 37, 1.0f);
  check<bf16>(values, 37, 0.5f);
  for (std::size_t i = 0; i < 37; ++i) {
    EXPECT_EQ(bits_of(y[37 + i]), 0u);
    EXPECT_EQ(y[2 * 37 + i], i == 36 ? 1.0f : 0.0f);
    EXPECT_EQ(y[4 * 37 + i], i == 5 ? 1.0f : 0.0f);
  }
}

template <typename T>
void expect_row_of_nan(const SoftmaxKernels& k, float special, float others, std::size_t size, std::size_t position) {
  std::vector<float> values(2 * size, others);
  values[position] = special;
  values[size] = 1.0f;
  const Guarded<T> x(rounded<T>(values));
  Guarded<T> y(2 * size);
  run(k, Softmax<T>{x.data(), y.data(), size, size, size, 1.0f}, {0, 2});
  for (std::size_t i = 0; i < size; ++i) {
    EXPECT_TRUE(std::isnan(to_float(y[i]))) << special << " among " << others << " at " << position << ", not " << i;
    EXPECT_FALSE(std::isnan(to_float(y[size + i]))) << "the next row";
  }
}

TEST_P(SoftmaxTest, NanOrInfinityMakesItsRowNan) {
  for (float others : {0.25f, -kInf}) {
    for (float special : {kNan, kInf}) {
      for (std::size_t position : {0u, 7u, 31u, 32u, 40u, 42u}) {
        expect_row_of_nan<float>(kernels(), special, others, 43, position);
        expect_row_of_nan<bf16>(kernels(), special, others, 43, position);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, SoftmaxTest, testing::ValuesIn(AXION_SVE2_TABLES(softmax_kernels)),
                         isa_name<SoftmaxKernels>);

}  // namespace
}  // namespace axion::test
