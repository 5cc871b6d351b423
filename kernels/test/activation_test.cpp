#include "axion/activation.h"

#include <gtest/gtest.h>

#include "guarded.h"
#include "isa.h"
#include "reference.h"

namespace axion::test {
namespace {

enum class Act { kSilu, kGelu };

double exact(Act act, double g) {
  const double u = std::sqrt(2.0 / 3.14159265358979323846) * (g + 0.044715 * g * g * g);
  return g / (1.0 + std::exp(act == Act::kSilu ? -g : -2.0 * u));
}

void run(const ActivationKernels& k, Act act, const GatedActivation<float>& a, Range rows, Range columns) {
  (act == Act::kSilu ? k.silu_and_mul_f32 : k.gelu_tanh_and_mul_f32)(a, rows, columns);
}
void run(const ActivationKernels& k, Act act, const GatedActivation<bf16>& a, Range rows, Range columns) {
  (act == Act::kSilu ? k.silu_and_mul_bf16 : k.gelu_tanh_and_mul_bf16)(a, rows, columns);
}

/// One row of gates, each multiplied by `up`.
template <typename T>
std::vector<T> activate(const ActivationKernels& k, Act act, std::vector<T> gates, float up = 1.0f) {
  const std::size_t size = gates.size();
  gates.resize(2 * size, from_float<T>(up));
  const Guarded<T> x(gates);
  Guarded<T> y(size);
  run(k, act, {x.data(), y.data(), size, 2 * size, size}, {0, 1}, {0, size});
  return y.copy();
}

float float_of_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class ActivationTest : public testing::TestWithParam<Isa<ActivationKernels>> {
 protected:
  const ActivationKernels& kernels() const { return *GetParam().kernels; }

  void expect_4_ulp(Act act, const std::vector<float>& gates) {
    const std::vector<float> y = activate(kernels(), act, gates);
    double worst = 0.0;
    for (std::size_t i = 0; i < gates.size(); ++i) {
      const double error = ulp_error(y[i], exact(act, static_cast<double>(gates[i])));
      worst = std::max(worst, error);
      ASSERT_LE(error, 4.0) << "gate " << gates[i] << " gives " << y[i];
    }
    RecordProperty("worst_ulp", std::to_string(worst));
    std::printf("  %s %s worst %.2f ULP\n", GetParam().name, act == Act::kSilu ? "silu" : "gelu", worst);
  }

  /// Half an ULP for the last rounding; act's own 2^-13 relative or 2^-138, and 2^-150 where it is a denormal.
  void expect_rounded_almost_correctly(Act act, const std::vector<bf16>& gates, float up) {
    const std::vector<bf16> y = activate(kernels(), act, gates, up);
    for (std::size_t i = 0; i < gates.size(); ++i) {
      const double gate = static_cast<double>(to_float(gates[i])), got = static_cast<double>(to_float(y[i]));
      if (std::isfinite(gate)) {
        const double factor = static_cast<double>(up), want = factor * exact(act, gate);
        const double slack = std::max(0x1p-13 * std::abs(want), 0x1p-138 * std::abs(factor)) + 0x1p-149;
        if (std::abs(want) < 0x1.ffp127) {  // else the product may overflow
          ASSERT_LE(std::abs(got - want), 0.5 * 65536.0 * float_ulp(want) + slack) << gate << " * " << up;
        }
      }
    }
  }
};

TEST_P(ActivationTest, FloatIsWithin4UlpOverAllFiniteGates) {
  std::vector<float> gates;
  for (std::uint64_t bits = 0; bits < (1ull << 32); bits += 20011) {
    const float value = float_of_bits(static_cast<std::uint32_t>(bits));
    if (std::isfinite(value)) {
      gates.push_back(value);
    }
  }
  expect_4_ulp(Act::kSilu, gates);
  expect_4_ulp(Act::kGelu, gates);
}

TEST_P(ActivationTest, FloatIsWithin4UlpWhereTheCurveBends) {
  std::vector<float> gates;
  for (int i = 0; i < 150000; ++i) {
    gates.push_back(-112.0f + 0.00125f * static_cast<float>(i));
  }
  expect_4_ulp(Act::kSilu, gates);
  for (float& gate : gates) {
    gate *= 0.1f;
  }
  expect_4_ulp(Act::kGelu, gates);
}

TEST_P(ActivationTest, EveryBf16GateIsRoundedAlmostCorrectly) {
  std::vector<bf16> gates;
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    gates.push_back({static_cast<std::uint16_t>(bits)});
  }
  for (Act act : {Act::kSilu, Act::kGelu}) {
    for (float up : {0.75f, 1.9921875f, -1.1640625f}) {
      expect_rounded_almost_correctly(act, gates, up);
    }
  }
}

TEST_P(ActivationTest, SpecialGates) {
  for (Act act : {Act::kSilu, Act::kGelu}) {
    const std::vector<float> y =
        activate(kernels(), act, std::vector<float>{kNan, kInf, -kInf, 0.0f, -0.0f, -1e4f, 1e4f, 3e38f, -3e38f, -8.0f});
    EXPECT_TRUE(std::isnan(y[0]));
    EXPECT_EQ(y[1], kInf);
    for (int zero : {2, 3, 4, 5, 8}) {
      EXPECT_EQ(y[static_cast<std::size_t>(zero)], 0.0f) << zero;
    }
    EXPECT_EQ(y[6], 1e4f);
    EXPECT_EQ(y[7], 3e38f);
    EXPECT_LT(std::abs(y[9]), act == Act::kSilu ? 0.0027f : 1e-13f) << "once 7.4";
    const std::vector<bf16> b = activate(
        kernels(), act, rounded<bf16>({kNan, kInf, -kInf, 0.0f, -0.0f, -1e4f, 1e4f, -kNan}));
    EXPECT_TRUE(std::isnan(to_float(b[0])));
    EXPECT_EQ(to_float(b[1]), kInf);
    EXPECT_EQ(to_float(b[2]), 0.0f);
    EXPECT_EQ(to_float(b[5]), 0.0f);
    EXPECT_TRUE(std::isnan(to_float(b[7]))) << "a NaN with its sign set, as x86 makes them";
    EXPECT_EQ(b[6].bits, to_bf16(1e4f).bits);
    EXPECT_TRUE(std::isnan(activate(kernels(), act, std::vector<float>{1.0f}, kNan)[0]));
  }
}

template <typename T>
void expect_splits_equal(const ActivationKernels& k, Act act, std::size_t size) {
  constexpr std::size_t kRows = 3;
  const std::size_t x_stride = 2 * size + 3, y_stride = size + 1;
  const Guarded<T> x(rounded<T>(outlier_values(kRows * x_stride - 3, 21, 19)));
  Guarded<T> whole(kRows * y_stride - 1), parts(kRows * y_stride - 1);
  run(k, act, {x.data(), whole.data(), size, x_stride, y_stride}, {0, kRows}, {0, size});
  const GatedActivation<T> into_parts{x.data(), parts.data(), size, x_stride, y_stride};
  for (std::size_t begin = 0, width = 1; begin < size; begin += width, width = width % 11 + 1) {
    run(k, act, into_parts, {1, kRows}, {begin, std::min(begin + width, size)});
    run(k, act, into_parts, {0, 1}, {begin, std::min(begin + width, size)});
  }
  for (std::size_t r = 0; r < kRows; ++r) {
    ASSERT_TRUE(same_bits(whole.data() + r * y_stride, parts.data() + r * y_stride, size)) << size;
    for (std::size_t i = 0; i < size; ++i) {
      const double gate = static_cast<double>(to_float(x[r * x_stride + i]));
      const double up = static_cast<double>(to_float(x[r * x_stride + size + i]));
      const double want = exact(act, gate) * up;
      ASSERT_NEAR(static_cast<double>(to_float(whole[r * y_stride + i])), want,
                  1.0001 * kUnitRoundoff<T> * std::abs(want) + (sizeof(T) == 4 ? 0x1p-21 : 0x1p-13) * std::abs(want) +
                      0x1p-133 + (sizeof(T) == 4 ? 4 * 0x1p-149 : 0x1p-138) * std::abs(up));
    }
  }
}

TEST_P(ActivationTest, AnySplitOfRowsAndColumnsGivesTheSameBits) {
  for (Act act : {Act::kSilu, Act::kGelu}) {
    for (std::size_t size = 1; size <= 40; ++size) {
      expect_splits_equal<float>(kernels(), act, size);
      expect_splits_equal<bf16>(kernels(), act, size);
    }
    for (std::size_t size : {8192u, 8960u, 18944u, 14336u, 21504u}) {
      expect_splits_equal<bf16>(kernels(), act, size);
    }
    expect_splits_equal<float>(kernels(), act, 8960);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, ActivationTest, testing::ValuesIn(AXION_SVE2_TABLES(activation_kernels)),
                         isa_name<ActivationKernels>);

}  // namespace
}  // namespace axion::test
