#include "axion/linear_w8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "guarded.h"
#include "isa.h"
#include "linear_w8_problem.h"
#include "reference.h"

namespace axion::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class LinearW8Test : public testing::TestWithParam<Isa<LinearW8Kernels>> {
 protected:
  const LinearW8Kernels& kernels() const { return *GetParam().kernels; }
};

TEST_P(LinearW8Test, WholeNumbersGiveExactResultsAtEveryTail) {
  for (std::size_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33}) {
    for (std::size_t n : {1, 2, 15, 16, 17, 23, 24, 25, 49}) {
      for (std::size_t k : {1, 3, 8, 9, 127, 129}) {
        const Problem problem = integer_problem(kernels(), {m, n, k}, (m + n + k) % 2 == 0);
        expect_exact(problem, problem.whole<float>());
        expect_exact(problem, problem.whole<bf16>());
      }
    }
  }
}

TEST_P(LinearW8Test, WholeNumbersGiveExactResultsAtTheModelsInnerSizes) {
  for (std::size_t k : {1536, 3072, 3584, 4096, 5376, 8960, 18944, 21504}) {
    for (std::size_t m : {1, 3, 4}) {
      const Problem problem = integer_problem(kernels(), {m, 29, k});
      expect_exact(problem, problem.whole<float>());
    }
  }
}

TEST_P(LinearW8Test, TheLargestVocabularyIsCoveredToItsLastColumn) {
  const Problem problem = integer_problem(kernels(), {1, 262208 + 3, 8});
  expect_exact(problem, problem.whole<float>());
}

TEST_P(LinearW8Test, ErrorsStayWithinTheBoundOfTheirOwnSum) {
  for (Shape s : {Shape{1, 37, 1536}, {4, 24, 777}, {7, 25, 2048}, {2, 40, 5376}}) {
    for (bool outliers : {false, true}) {
      const auto x = outliers ? outlier_values(s.m * s.k, 3) : normal_values(s.m * s.k, 3);
      const Problem problem(kernels(), s, x, normal_values(s.n * s.k, 4, 0.02));
      expect_within_bound(problem, problem.whole<bf16>());
      expect_within_bound(problem, problem.whole<float>());
    }
  }
}

TEST_P(LinearW8Test, OutliersThatMeetZeroWeightsDoNotDrownTheRest) {
  for (std::size_t outliers : {1, 2, 8, 32}) {
    const Shape s{3, 26, 384};
    auto x = normal_values(s.m * s.k, 11);
    auto w = normal_values(s.n * s.k, 12);
    for (std::size_t group = 0; group < s.k; group += 128) {
      for (std::size_t o = 0; o < outliers; ++o) {
        for (std::size_t i = 0; i < s.m; ++i) {
          x[i * s.k + group + o * 3] = o % 2 == 0 ? 1e4f : -1e4f;
        }
        for (std::size_t j = 0; j < s.n; ++j) {
          w[j * s.k + group + o * 3] = 0.0f;
        }
      }
    }
    const Problem problem(kernels(), s, x, w, false);
    const Guarded<float> y = problem.whole<float>();
    for (std::size_t i = 0; i < s.m; ++i) {
      for (std::size_t j = 0; j < s.n; ++j) {
        const Expected want = expected(problem, i, j);
        const double got = static_cast<double>(y[i * problem.y_stride() + j]);
        ASSERT_LE(std::abs(got - want.value), 0x1p-13 * want.size) << outliers << " outliers";
      }
    }
  }
}

TEST_P(LinearW8Test, RoundingThatAddsUpIsNoticedBeforeItPassesTheBound) {
  // In units of 2^-14, that of a group whose largest is 1: 64.5 loses a half, always downwards, 1024 loses nothing. The
  // largest meets a zero weight. 24 halves are 1.8 times what the bound allows, all halves 115 times.
  for (std::size_t halves : {24, 127}) {
    const Shape s{1, 1, 128};
    std::vector<float> x(s.k, 0x1p-4f);
    std::fill_n(x.begin() + 1, halves, 64.5f * 0x1p-14f);
    x[0] = 1.0f;
    std::vector<float> w(s.k, 1.0f);
    w[0] = 0.0f;
    const Problem problem(kernels(), s, x, w, false);
    expect_within_bound(problem, problem.whole<float>());
  }
}

TEST_P(LinearW8Test, EveryMantissaSurvivesBesideTheLargestOfItsGroup) {
  // One group a row whose largest has each of bf16's mantissas, all ones among them, at the ends of the range too.
  for (float size : {1.0f, 0x1p-80f, 0x1p96f}) {
    const Shape s{128, 1, 8};
    std::vector<float> x(s.m * s.k, 0.0f);
    for (std::size_t i = 0; i < s.m; ++i) {
      x[i * s.k] = (1.0f + static_cast<float>(i) / 128.0f) * size;
      x[i * s.k + 5] = -x[i * s.k];
      x[i * s.k + 7] = size / 32.0f;
    }
    const std::vector<float> w = {127.0f, 0.0f, 0.0f, 0.0f, 0.0f, 126.0f, 0.0f, 1.0f};
    const Problem problem(kernels(), s, x, w, false);
    const Guarded<float> y = problem.whole<float>();
    for (std::size_t i = 0; i < s.m; ++i) {
      ASSERT_EQ(y[i * problem.y_stride()], x[i * s.k] + size / 32.0f) << "mantissa " << i;
    }
  }
}

TEST_P(LinearW8Test, ZeroAndDenormalOperandsGiveWhatTheyShould) {
  const Shape s{4, 27, 130};
  auto x = normal_values(s.m * s.k, 13);
  std::fill_n(x.begin(), s.k, 0.0f);
  std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(s.k), s.k, 0x1p-130f);
  auto w = normal_values(s.n * s.k, 14, 0x1p-127);
  std::fill_n(w.begin() + static_cast<std::ptrdiff_t>(3 * s.k), s.k, 0.0f);
  const Problem problem(kernels(), s, x, w);
  const Guarded<float> y = problem.whole<float>();
  for (std::size_t i = 0; i < s.m; ++i) {
    for (std::size_t j = 0; j < s.n; ++j) {
      ASSERT_NEAR(static_cast<double>(y[i * problem.y_stride() + j]), problem.bias(j), 0x1p-110) << i << ", " << j;
    }
  }
}

TEST_P(LinearW8Test, NanAndInfinityStayInTheirRowAndColumn) {
  const Shape s{11, 31, 300};
  for (float bad : {kNan, kInfinity, -kInfinity}) {
    auto x = normal_values(s.m * s.k, 15);
    auto w = normal_values(s.n * s.k, 16);
    x[3 * s.k + 299] = bad;
    x[6 * s.k + 2] = bad;
    w[30 * s.k + 44] = bad;
    const Problem problem(kernels(), s, x, w);
    const Guarded<bf16> y = problem.whole<bf16>();
    for (std::size_t i = 0; i < s.m; ++i) {
      for (std::size_t j = 0; j < s.n; ++j) {
        ASSERT_EQ(std::isfinite(to_float(y[i * problem.y_stride() + j])), i != 3 && i != 6 && j != 30)
            << i << ", " << j;
      }
    }
  }
}

TEST_P(LinearW8Test, AnySplitOfRowsAndPanelsGivesTheSameBits) {
  const Shape s{37, 77, 700};
  const Problem problem(kernels(), s, outlier_values(s.m * s.k, 9, 1511), normal_values(s.n * s.k, 10));
  const Guarded<float> whole = problem.whole<float>();
  for (auto [row_step, panel_step] : {std::pair<std::size_t, std::size_t>{1, 1}, {2, 3}, {3, 2}, {5, 7}, {34, 1}}) {
    Guarded<float> y = problem.output<float>();
    for (std::size_t row = 0; row < s.m; row += row_step) {
      for (std::size_t panel = 0; panel < problem.panels(); panel += panel_step) {
        problem.run(y, {row, std::min(row + row_step, s.m)}, {panel, std::min(panel + panel_step, problem.panels())});
      }
    }
    ASSERT_TRUE(same_bits(y.data(), whole.data(), y.size())) << "by " << row_step << " and " << panel_step;
  }
}

TEST_P(LinearW8Test, AFloatWeightIsPackedLikeTheSameValuesInBf16) {
  const Shape s{1, 50, 333};
  const auto w = rounded<bf16>(normal_values(s.n * s.k, 17));
  std::vector<float> wide(w.size());
  std::transform(w.begin(), w.end(), wide.begin(), [](bf16 value) { return to_float(value); });
  const std::size_t bytes = (kernels().packed_bytes(s.n, s.k) + 63) / 64 * 64;
  const std::size_t panels = (s.n + kernels().panel_columns - 1) / kernels().panel_columns;
  Guarded<char> from_bf16(bytes);
  Guarded<char> from_f32(bytes);
  kernels().pack_bf16({w.data(), from_bf16.data(), s.n, s.k, s.k}, {0, panels});
  kernels().pack_f32({wide.data(), from_f32.data(), s.n, s.k, s.k}, {0, panels});
  EXPECT_EQ(from_bf16.copy(), from_f32.copy());
}

INSTANTIATE_TEST_SUITE_P(Isa, LinearW8Test, testing::ValuesIn(AXION_NEON_TABLES(linear_w8_kernels)),
                         isa_name<LinearW8Kernels>);

}  // namespace
}  // namespace axion::test
