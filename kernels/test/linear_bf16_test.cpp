#include "axion/linear_bf16.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "guarded.h"
#include "isa.h"
#include "linear_bf16_problem.h"
#include "reference.h"

namespace axion::test {
namespace {

class LinearBf16Test : public testing::TestWithParam<Isa<LinearBf16Kernels>> {
 protected:
  const LinearBf16Kernels& kernels() const { return *GetParam().kernels; }
};

TEST_P(LinearBf16Test, WholeNumbersGiveExactResultsAtEveryTail) {
  for (std::size_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 31, 33}) {
    for (std::size_t n : {1, 2, 5, 6, 7, 11, 12, 13, 16, 23, 24, 25, 37}) {
      for (std::size_t k : {1, 3, 8, 9, 20}) {
        const Problem problem = integer_problem(kernels(), {m, n, k}, (m + n + k) % 2 == 0);
        expect_exact(problem, problem.whole<float>());
        expect_exact(problem, problem.whole<bf16>());
      }
    }
  }
}

TEST_P(LinearBf16Test, WholeNumbersGiveExactResultsAtTheModelsInnerSizes) {
  for (std::size_t k : {1536, 3072, 3584, 4096, 5376, 8192, 8960, 14336, 18944, 21504}) {
    for (std::size_t m : {1, 3}) {
      const Problem problem = integer_problem(kernels(), {m, 29, k});
      expect_exact(problem, problem.whole<float>());
    }
  }
}

TEST_P(LinearBf16Test, WholeNumbersGiveExactResultsAcrossEveryBlockEdge) {
  for (Shape s : {Shape{255, 13, 40}, {257, 12, 24}, {264, 405, 16}, {9, 400, 1032}, {17, 30, 1023}, {16, 25, 2049}}) {
    const Problem problem = integer_problem(kernels(), s);
    expect_exact(problem, problem.whole<bf16>());
  }
}

TEST_P(LinearBf16Test, TheLargestVocabularyIsCoveredToItsLastColumn) {
  const Problem problem = integer_problem(kernels(), {1, 262208 + 3, 8});
  expect_exact(problem, problem.whole<float>());
}

TEST_P(LinearBf16Test, ErrorsStayWithinTheBoundOfTheirOwnSum) {
  for (Shape s : {Shape{1, 37, 1536}, {4, 24, 777}, {7, 25, 4096}, {13, 40, 1100}}) {
    for (bool outliers : {false, true}) {
      const auto x = outliers ? outlier_values(s.m * s.k, 3) : normal_values(s.m * s.k, 3);
      const Problem problem(kernels(), s, x, normal_values(s.n * s.k, 4, 0.02));
      expect_within_bound(problem, problem.whole<bf16>());
      expect_within_bound(problem, problem.whole<float>());
    }
  }
}

TEST_P(LinearBf16Test, DenormalsLoseNoMoreThanThemselves) {
  const Shape s{5, 14, 67};
  for (double size : {0x1p-133, 0x1p-128, 0x1p-63}) {
    const Problem problem(kernels(), s, normal_values(s.m * s.k, 5, size), normal_values(s.n * s.k, 6, size), false);
    expect_within_bound(problem, problem.whole<float>());
  }
}

TEST_P(LinearBf16Test, NanAndInfinityStayInTheirRowAndColumn) {
  const Shape s{11, 31, 45};
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  auto x = integers(s.m * s.k, 8);
  auto w = std::vector<float>(s.n * s.k, 1.0f);
  x[3 * s.k + 44] = kNan;
  x[6 * s.k + 2] = kInfinity;
  w[30 * s.k + 44] = -kInfinity;
  for (std::size_t i = 0; i < s.m; ++i) {
    x[i * s.k + 44] = i == 3 ? kNan : 1.0f;
  }
  const Problem problem(kernels(), s, x, w);
  const Guarded<bf16> y = problem.whole<bf16>();
  for (std::size_t i = 0; i < s.m; ++i) {
    for (std::size_t j = 0; j < s.n; ++j) {
      const float value = to_float(y[i * problem.y_stride() + j]);
      if (i == 3 || (i == 6 && j == 30)) {
        ASSERT_TRUE(std::isnan(value)) << i << ", " << j;
      } else if (i == 6 || j == 30) {
        ASSERT_EQ(value, i == 6 ? kInfinity : -kInfinity) << i << ", " << j;
      } else {
        ASSERT_TRUE(std::isfinite(value)) << i << ", " << j;
      }
    }
  }
}

TEST_P(LinearBf16Test, AnySplitOfRowsAndPanelsGivesTheSameBits) {
  const Shape s{37, 77, 1100};
  const Problem problem(kernels(), s, outlier_values(s.m * s.k, 9), normal_values(s.n * s.k, 10));
  const Guarded<bf16> expected = problem.whole<bf16>();
  for (auto [row_step, panel_step] : {std::pair<std::size_t, std::size_t>{1, 1}, {2, 3}, {3, 2}, {5, 7}, {8, 1},
                                      {13, 4}, {37, 2}}) {
    Guarded<bf16> y = problem.output<bf16>();
    for (std::size_t row = 0; row < s.m; row += row_step) {
      for (std::size_t panel = 0; panel < problem.panels(); panel += panel_step) {
        problem.run(y, {row, std::min(row + row_step, s.m)}, {panel, std::min(panel + panel_step, problem.panels())});
      }
    }
    ASSERT_TRUE(same_bits(y.data(), expected.data(), y.size())) << "by " << row_step << " and " << panel_step;
  }
}

TEST_P(LinearBf16Test, ResultsBeyondFourGigabytesLandWhereTheyBelong) {
  constexpr std::size_t kRows = 8192;
  constexpr std::size_t kStride = 262208;
  const Problem problem = integer_problem(kernels(), {2, 12, 16}, false);
  const std::size_t bytes = kRows * kStride * sizeof(float);
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    GTEST_SKIP() << "no address space for " << bytes << " bytes";
  }
  auto* y = static_cast<float*>(mapped);
  const Guarded<bf16> x(std::vector<bf16>(16, to_bf16(1.0f)));
  const auto w = rounded<bf16>(integers(12 * 16, 2));
  Guarded<char> packed((kernels().packed_bytes(12, 16) + 63) / 64 * 64);
  kernels().pack({w.data(), packed.data(), 12, 16, 16}, {0, 1});
  Guarded<char> scratch(kernels().scratch_bytes(2, 1, 16));
  kernels().linear_f32({x.data(), packed.data(), nullptr, y, scratch.data(), 12, 16, 0, kStride},
                       {kRows - 2, kRows}, {0, 1});
  double expected = 0.0;
  for (std::size_t p = 0; p < 16; ++p) {
    expected += static_cast<double>(to_float(w[11 * 16 + p]));
  }
  EXPECT_EQ(static_cast<double>(y[(kRows - 1) * kStride + 11]), expected);
  munmap(mapped, bytes);
}

INSTANTIATE_TEST_SUITE_P(Isa, LinearBf16Test, testing::ValuesIn(AXION_NEON_TABLES(linear_bf16_kernels)),
                         isa_name<LinearBf16Kernels>);

}  // namespace
}  // namespace axion::test
