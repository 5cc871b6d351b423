#include "linear_w4_problem.h"

namespace axion::test {
namespace {

class LinearW4A8Test : public testing::TestWithParam<Isa<LinearW4Kernels>> {
 protected:
  template <typename T>
  std::vector<T> run(const W4Problem& problem, std::size_t split = 0) {
    return run_w4<T>(*GetParam().kernels, problem, {W4Method::kInt8Activations, split, split});
  }
};

INSTANTIATE_TEST_SUITE_P(Isa, LinearW4A8Test, testing::ValuesIn(AXION_NEON_TABLES(linear_w4_kernels)),
                         isa_name<LinearW4Kernels>);

/// Activations that int8 holds exactly: multiples of a power of two up to 127 of them, a different one in each row.
W4Problem exact_problem(W4Shape shape, std::uint32_t seed) {
  W4Problem problem(shape, seed);
  std::mt19937 random(seed);
  for (std::size_t i = 0; i < problem.x.size(); ++i) {
    const std::size_t row = i / shape.k;
    const int integer = i % shape.k == 5 ? -127 : static_cast<int>(random() % 255) - 127;
    problem.x[i] = std::ldexp(static_cast<float>(integer), static_cast<int>(row % 7) - 3);
  }
  return problem;
}

/// Of sum|w * x|, for scales up to three times another: what they cost beside the rounding of the activations, half of
/// what linear_w4 may lose.
constexpr double kScalesBound = 0x1p-14;

TEST_P(LinearW4A8Test, ExactActivationsGiveExactSumsWithOneScale) {
  for (std::size_t m : {1, 2, 7, 8, 9, 17, 33}) {
    for (W4Shape shape : {W4Shape{m, 1, 32, 32}, W4Shape{m, 5, 96, 32}, W4Shape{m, 7, 128, 64},
                          W4Shape{m, 29, 640, 128}, W4Shape{m, 16, 320, 320}, W4Shape{m, 11, 2208, 32},
                          W4Shape{m, 9, 3200, 128}}) {
      W4Problem problem = exact_problem(shape, static_cast<std::uint32_t>(shape.k + m));
      expect_w4(problem, run<float>(problem), kScalesBound);
      expect_w4(problem, run<bf16>(problem), kScalesBound);
      problem.scales.assign(problem.scales.size(), 0.013f);
      problem.zeros.assign(problem.zeros.size(), 7);
      const double relative = (2.0 + static_cast<double>(shape.k) / 32.0) * 0x1p-22 + 0x1p-20;
      expect_w4(problem, run<float>(problem), relative);
      expect_w4(problem, run<bf16>(problem), relative);
    }
  }
}

TEST_P(LinearW4A8Test, LargestSumsThereAre) {
  W4Problem problem({9, 16, 256, 128});
  problem.x.assign(problem.x.size(), -1e4f);
  problem.q.assign(problem.q.size(), 15);
  problem.zeros.assign(problem.zeros.size(), 0);
  expect_w4(problem, run<float>(problem), 0x1p-18);
}

TEST_P(LinearW4A8Test, OrdinaryActivationsAreWithinHalfAStep) {
  W4Problem problem({12, 40, 512, 128});
  const std::vector<double> x = widened(rounded<bf16>(problem.x));
  const std::vector<bf16> y = run<bf16>(problem);
  for (std::size_t r = 0; r < 12; ++r) {
    double largest = 0.0;
    for (std::size_t i = 0; i < 512; ++i) {
      largest = std::max(largest, std::abs(x[r * 512 + i]));
    }
    for (std::size_t c = 0; c < 40; ++c) {
      double sum = to_float(to_bf16(problem.bias[c]));
      double weights = 0.0;
      for (std::size_t i = 0; i < 512; ++i) {
        sum += x[r * 512 + i] * problem.weight(c, i);
        weights += std::abs(problem.weight(c, i));
      }
      // Errors of half a step are as good as random: seven standard deviations instead of their sum.
      const double step = largest / 127.0;
      const double bound = 7.0 * step / std::sqrt(12.0) * weights / std::sqrt(512.0) * 1.3;
      ASSERT_LE(std::abs(to_float(y[r * 40 + c]) - sum), bound + 0x1p-8 * std::abs(sum));
    }
  }
}

TEST_P(LinearW4A8Test, EveryActivationIsRoundedToTheNearest) {
  // Row i has 127 where all weights are zero, so that a step is 1, and a fraction where they are 1.
  W4Problem problem({32, 8, 32, 32});
  problem.bias.clear();
  problem.scales.assign(problem.scales.size(), 1.0f);
  problem.zeros.assign(problem.zeros.size(), 5);
  problem.q.assign(problem.q.size(), 6);
  for (std::size_t c = 0; c < 8; ++c) {
    problem.q[c * 32 + c] = 5;
  }
  for (float fraction : {2.25f, 2.75f, -2.75f, 100.25f, -0.75f}) {
    problem.x.assign(problem.x.size(), 0.0f);
    for (std::size_t i = 0; i < 32; ++i) {
      problem.x[i * 32 + i] = fraction;
      problem.x[i * 32 + (i == 0 ? 1 : 0)] = 127.0f;
    }
    const std::vector<float> y = run<float>(problem);
    for (std::size_t i = 0; i < 32; ++i) {
      ASSERT_NEAR(y[i * 8 + (i == 0 ? 1 : 0)], std::nearbyint(fraction), 1e-3) << "activation " << i;
    }
  }
}

TEST_P(LinearW4A8Test, ScalesOfEverySize) {
  const std::vector<float> sizes = {6e4f, 0.0f, 6e-8f, 1.0f, -0.5f};
  W4Problem problem = exact_problem({9, 35, 224, 32}, 3);
  problem.bias.clear();
  for (std::size_t i = 0; i < problem.scales.size(); ++i) {
    problem.scales[i] = sizes[(i + i / 7) % sizes.size()];
  }
  expect_w4(problem, run<float>(problem), 0x1p-12);
}

TEST_P(LinearW4A8Test, RowsOfZerosAndOfNotANumber) {
  W4Problem problem = exact_problem({10, 24, 128, 64}, 6);
  const std::vector<float> clean = run<float>(problem);
  for (std::size_t i = 0; i < 128; ++i) {
    problem.x[3 * 128 + i] = 0.0f;
  }
  problem.x[4 * 128 + 9] = std::numeric_limits<float>::quiet_NaN();
  problem.x[5 * 128 + 9] = -std::numeric_limits<float>::infinity();
  const std::vector<float> y = run<float>(problem);
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (i / 24 == 3) {
      ASSERT_EQ(y[i], problem.bias[i % 24]);
    } else if (i / 24 == 4 || i / 24 == 5) {
      ASSERT_FALSE(std::isfinite(y[i]));
    } else {
      ASSERT_EQ(bits_of(y[i]), bits_of(clean[i]));
    }
  }
}

TEST_P(LinearW4A8Test, SplitsAndStridesDoNotChangeABit) {
  for (std::size_t m : {1, 8, 17}) {
    const W4Problem problem({m, 85, 320, 64});
    const std::vector<bf16> whole = run<bf16>(problem);
    for (std::size_t panels : {1, 2, 3, 7}) {
      const std::vector<bf16> split = run<bf16>(problem, panels);
      ASSERT_TRUE(same_bits(whole.data(), split.data(), whole.size()));
    }
  }
}

}  // namespace
}  // namespace axion::test
