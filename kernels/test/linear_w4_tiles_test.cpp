// More than 16 rows: tiles of 12 and of 8 rows, and weights unpacked ahead, by the tiles or, what they leave, apart.
// How much they leave depends on the number of rows, and no bit of a result may.
#include "linear_w4_problem.h"

namespace axion::test {
namespace {

class LinearW4TilesTest : public testing::TestWithParam<Isa<LinearW4Kernels>> {
 protected:
  template <typename T>
  std::vector<T> run(const W4Problem& problem) {
    return run_w4<T>(*GetParam().kernels, problem);
  }
};

INSTANTIATE_TEST_SUITE_P(Isa, LinearW4TilesTest, testing::ValuesIn(AXION_NEON_TABLES(linear_w4_kernels)),
                         isa_name<LinearW4Kernels>);

/// Zero points of every value, and groups that count as nothing beside those of ordinary scales.
W4Problem mixed_problem(W4Shape shape) {
  W4Problem problem(shape, static_cast<std::uint32_t>(shape.m + shape.k));
  for (std::size_t i = 0; i < problem.scales.size(); ++i) {
    problem.zeros[i] = static_cast<std::uint8_t>((i + i / 16) % 16);
    if (i % 5 == 2) {
      problem.scales[i] = i % 2 == 0 ? 0.0f : 1e-25f;
    }
  }
  return problem;
}

/// `problem` with its first `m` rows only.
W4Problem first_rows(const W4Problem& problem, std::size_t m) {
  W4Problem few = problem;
  few.shape.m = m;
  few.x.resize(m * problem.shape.k);
  return few;
}

TEST_P(LinearW4TilesTest, EveryMixOfTilesIsAccurate) {
  for (std::size_t m : {23, 24, 25, 31, 33, 40, 48, 63, 71, 96, 121}) {
    for (W4Shape shape : {W4Shape{m, 17, 576, 64}, W4Shape{m, 16, 1152, 128}}) {
      const W4Problem problem = mixed_problem(shape);
      expect_w4(problem, run<bf16>(problem), kW4Bound);
      expect_w4(problem, run<float>(problem), kW4Bound);
    }
  }
}

TEST_P(LinearW4TilesTest, OutputsWithoutBiasAreTheSumsRounded) {
  for (std::size_t m : {17, 24, 29, 40}) {
    W4Problem problem = mixed_problem({m, 24, 256, 128});
    problem.bias.assign(problem.bias.size(), 0.0f);
    const std::vector<bf16> with_zeros = run<bf16>(problem);
    problem.bias.clear();
    const std::vector<bf16> without = run<bf16>(problem);
    expect_w4(problem, without, kW4Bound);
    for (std::size_t i = 0; i < without.size(); ++i) {
      ASSERT_EQ(to_float(without[i]), to_float(with_zeros[i])) << m << " rows, element " << i;
    }
  }
}

TEST_P(LinearW4TilesTest, WhoeverUnpacksTheBitsAreTheSame) {
  for (std::size_t group : {32, 64, 128}) {
    const std::size_t k = 1024 + group;  // blocks of k of two sizes
    const W4Problem all = mixed_problem({104, 19, k, group});
    const std::vector<float> expected = run<float>(first_rows(all, 17));  // tiles too few to unpack much
    const std::vector<bf16> narrow = run<bf16>(first_rows(all, 17));
    for (std::size_t m : {50, 104}) {
      const std::vector<float> y = run<float>(first_rows(all, m));
      ASSERT_TRUE(same_bits(y.data(), expected.data(), expected.size())) << m << " rows, group " << group;
      const std::vector<bf16> y16 = run<bf16>(first_rows(all, m));
      ASSERT_TRUE(same_bits(y16.data(), narrow.data(), narrow.size())) << m << " rows, group " << group;
    }
  }
}

}  // namespace
}  // namespace axion::test
