#include "linear_w4_problem.h"

namespace axion::test {
namespace {

class LinearW4Test : public testing::TestWithParam<Isa<LinearW4Kernels>> {
 protected:
  template <typename T>
  void expect_accurate(const W4Problem& problem, double relative = kW4Bound) {
    expect_w4(problem, run_w4<T>(*GetParam().kernels, problem), relative);
  }
  void expect_accurate_both(const W4Problem& problem) {
    expect_accurate<float>(problem);
    expect_accurate<bf16>(problem);
  }
};

INSTANTIATE_TEST_SUITE_P(Isa, LinearW4Test, testing::ValuesIn(AXION_NEON_TABLES(linear_w4_kernels)),
                         isa_name<LinearW4Kernels>);

TEST_P(LinearW4Test, EveryNumberOfRowsAndColumns) {
  for (std::size_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 16, 17}) {
    for (std::size_t n : {1, 2, 3, 4, 5, 6, 7, 8, 9, 24, 31}) {
      expect_accurate_both(W4Problem({m, n, 192, 64}, static_cast<std::uint32_t>(m * 100 + n)));
    }
  }
}

TEST_P(LinearW4Test, EveryGroupSize) {
  for (std::size_t m : {1, 2, 4, 6, 8, 9, 19}) {
    for (W4Shape shape : {W4Shape{m, 27, 32, 32}, W4Shape{m, 27, 96, 32}, W4Shape{m, 27, 128, 64},
                          W4Shape{m, 27, 320, 64}, W4Shape{m, 27, 128, 128}, W4Shape{m, 27, 640, 128},
                          W4Shape{m, 27, 96, 96}, W4Shape{m, 27, 320, 320}, W4Shape{m, 27, 1536, 1536},
                          W4Shape{m, 11, 2208, 32}, W4Shape{m, 11, 2208, 2208}}) {
      expect_accurate_both(W4Problem(shape, static_cast<std::uint32_t>(shape.k + m)));
    }
  }
}

TEST_P(LinearW4Test, DepthsOfTheModels) {
  for (std::size_t k : {1536, 3072, 3584, 5376, 8960, 18944, 21504}) {
    for (std::size_t m : {1, 3, 8, 17}) {
      expect_accurate<bf16>(W4Problem({m, m == 1 ? 26u : 9u, k, 128}, static_cast<std::uint32_t>(k)));
    }
    expect_accurate<float>(W4Problem({18, 8, k, 128}, static_cast<std::uint32_t>(k)));
  }
}

TEST_P(LinearW4Test, NoZeroPointsMeansEight) {
  for (std::size_t m : {1, 5, 17}) {
    W4Problem problem({m, 30, 256, 128});
    problem.zeros.clear();
    expect_accurate_both(problem);
    W4Problem same = problem;
    same.zeros.assign(30 * 2, 8);
    EXPECT_TRUE(same_bits(run_w4<float>(*GetParam().kernels, problem).data(),
                          run_w4<float>(*GetParam().kernels, same).data(), m * 30));
  }
}

TEST_P(LinearW4Test, NoBias) {
  for (std::size_t m : {1, 4, 17}) {
    W4Problem problem({m, 29, 128, 32});
    problem.bias.clear();
    expect_accurate_both(problem);
  }
}

TEST_P(LinearW4Test, OutliersAmongSmallActivations) {
  for (std::size_t m : {1, 2, 4, 7, 8, 9, 17}) {
    for (std::size_t group : {32, 64, 128}) {
      W4Problem problem({m, 61, 1536, group}, static_cast<std::uint32_t>(group));
      problem.x = outlier_values(m * 1536, 5);
      expect_accurate_both(problem);
    }
  }
}

TEST_P(LinearW4Test, OutlierThatMeetsAZeroWeight) {
  for (std::size_t m : {1, 2, 4, 6, 8, 11, 17}) {
    for (std::size_t group : {32, 128}) {
      for (std::size_t outliers : {1, 2}) {
        W4Problem problem({m, 64, 2 * group, group}, static_cast<std::uint32_t>(m));
        for (std::size_t r = 0; r < m; ++r) {
          for (std::size_t i = 0; i < outliers * 5; i += 5) {  // a high and then a low nibble's place
            problem.x[r * 2 * group + r + i + 5] = i % 2 == 0 ? 1e4f : -1.1e4f;
            for (std::size_t c = 0; c < 64; ++c) {
              problem.q[c * 2 * group + r + i + 5] = problem.zeros[problem.scale_index(c, r + i + 5)];
            }
          }
        }
        expect_accurate_both(problem);
      }
    }
  }
}

TEST_P(LinearW4Test, ActivationsAreExactInBf16BeyondSixteenRows) {
  // The products of BFMMLA are exact; two roundings per four of them, and two per group for its scale.
  W4Problem problem({17, 40, 256, 128});
  problem.x = outlier_values(17 * 256, 3);
  expect_accurate<bf16>(problem, (256 + 8) * 0x1p-24 + 0x1p-20);
  W4Problem floats({17, 40, 64, 64});
  expect_accurate<float>(floats, 64 * 0x1p-24 + 0x1p-16);
}

TEST_P(LinearW4Test, ZeroPointsAtTheirLimits) {
  for (std::size_t m : {1, 3, 8, 17}) {
    W4Problem problem({m, 24, 256, 32});
    for (std::size_t i = 0; i < problem.zeros.size(); ++i) {
      problem.zeros[i] = i % 3 == 0 ? 15 : 0;
    }
    expect_accurate_both(problem);
    for (std::size_t i = 0; i < problem.q.size(); ++i) {  // the largest weights there are
      problem.q[i] = problem.zeros[problem.scale_index(i / 256, i % 256)] == 15 ? 0 : 15;
    }
    problem.x.assign(problem.x.size(), 1e4f);  // and the largest sums
    expect_accurate_both(problem);
    problem.x.assign(problem.x.size(), -1e4f);
    expect_accurate_both(problem);
  }
}

TEST_P(LinearW4Test, ScalesOfEverySize) {
  const std::vector<float> sizes = {6e4f, 0.0f, 6e-8f, 1.0f, -0.5f, 0.0f, 3e-5f};
  for (std::size_t m : {1, 2, 5, 8, 17}) {
    W4Problem problem({m, 35, 224, 32});
    for (std::size_t i = 0; i < problem.scales.size(); ++i) {
      problem.scales[i] = sizes[(i + i / 7) % sizes.size()];
    }
    problem.bias.clear();
    expect_accurate_both(problem);
    for (float only : sizes) {
      problem.scales.assign(problem.scales.size(), only);
      expect_accurate_both(problem);
    }
    problem.scales.assign(problem.scales.size(), 1e-40f);  // a denormal, kept to 2^-146
    for (float& value : problem.x) {
      value *= 1024.0f;
    }
    expect_accurate<float>(problem, kW4Bound + 0x1p-146 / 1e-40);
  }
}

TEST_P(LinearW4Test, ScaleOfZeroGivesTheBiasExactly) {
  for (std::size_t m : {1, 4, 17}) {
    W4Problem problem({m, 16, 128, 64});
    problem.scales.assign(problem.scales.size(), 0.0f);
    const std::vector<float> y = run_w4<float>(*GetParam().kernels, problem);
    for (std::size_t i = 0; i < y.size(); ++i) {
      ASSERT_EQ(y[i], problem.bias[i % 16]);
    }
  }
}

TEST_P(LinearW4Test, AllWeightsAtTheZeroPointGiveExactZeros) {
  for (std::size_t m : {1, 4, 8, 17}) {
    W4Problem problem({m, 24, 256, 128});
    problem.x = outlier_values(m * 256, 8);
    problem.bias.clear();
    for (std::size_t i = 0; i < problem.q.size(); ++i) {
      problem.q[i] = problem.zeros[problem.scale_index(i / 256, i % 256)];
    }
    for (float value : run_w4<float>(*GetParam().kernels, problem)) {
      ASSERT_EQ(value, 0.0f);
    }
  }
}

TEST_P(LinearW4Test, ActivationsOfEverySize) {
  for (float size : {0.0f, 1e-40f, 1e-36f, 1e-30f, 1e-10f, 1e10f, 1e30f}) {
    for (std::size_t m : {1, 3, 17}) {
      W4Problem problem({m, 24, 128, 64});
      problem.bias.clear();
      for (float& value : problem.x) {
        value *= size;
      }
      expect_accurate_both(problem);
    }
  }
}

TEST_P(LinearW4Test, NotANumberStaysInItsRow) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (std::size_t m : {2, 5, 8, 11, 18}) {
      W4Problem problem({m, 25, 256, 64});
      for (std::size_t i = 0; i < problem.q.size(); ++i) {  // no weight is zero
        problem.q[i] = problem.zeros[problem.scale_index(i / 256, i % 256)] == 3 ? 9 : 3;
      }
      const std::vector<bf16> clean = run_w4<bf16>(*GetParam().kernels, problem);
      problem.x[1 * 256 + 77] = bad;
      const std::vector<bf16> y = run_w4<bf16>(*GetParam().kernels, problem);
      for (std::size_t i = 0; i < y.size(); ++i) {
        if (i / 25 == 1) {
          ASSERT_FALSE(std::isfinite(to_float(y[i])));
        } else {
          ASSERT_EQ(y[i].bits, clean[i].bits);
        }
      }
    }
  }
}

TEST_P(LinearW4Test, SplitsAndStridesDoNotChangeABit) {
  for (W4Shape shape : {W4Shape{1, 85, 320, 64}, W4Shape{4, 85, 320, 64}, W4Shape{8, 85, 320, 64},
                        W4Shape{17, 85, 320, 64}, W4Shape{1, 29, 1664, 128}, W4Shape{11, 29, 1696, 32}}) {
    const std::size_t m = shape.m;
    W4Problem problem(shape);
    problem.x = outlier_values(m * shape.k, 2);
    const std::vector<bf16> whole = run_w4<bf16>(*GetParam().kernels, problem);
    for (std::size_t panels : {1, 2, 3, 4, 7}) {
      const std::vector<bf16> split =
          run_w4<bf16>(*GetParam().kernels, problem, {W4Method::kAccurate, panels, panels});
      ASSERT_TRUE(same_bits(whole.data(), split.data(), whole.size())) << m << " rows, " << panels << " panels";
    }
  }
}

TEST_P(LinearW4Test, ARowHasTheSameBitsInAnyCompany) {
  for (std::size_t limit : {16, 31}) {
    W4Problem all({limit, 24, 384, 128});
    all.x = outlier_values(limit * 384, 4, 1201);  // some rows have outliers, others none
    const std::vector<float> expected = run_w4<float>(*GetParam().kernels, all);
    for (std::size_t m = limit == 16 ? 1 : 17; m < limit; m += 2) {
      W4Problem last = all;
      last.shape.m = m;
      last.x.erase(last.x.begin(), last.x.end() - static_cast<std::ptrdiff_t>(m * 384));
      const std::vector<float> y = run_w4<float>(*GetParam().kernels, last);
      ASSERT_TRUE(same_bits(y.data(), expected.data() + (limit - m) * 24, y.size())) << m << " rows";
    }
  }
}

}  // namespace
}  // namespace axion::test
