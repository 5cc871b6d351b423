// What a column's smallest scales still have to give, when its largest multiply nothing.
#include "linear_w4_problem.h"

namespace axion::test {
namespace {

class LinearW4ScalesTest : public testing::TestWithParam<Isa<LinearW4Kernels>> {};

INSTANTIATE_TEST_SUITE_P(Isa, LinearW4ScalesTest, testing::ValuesIn(AXION_NEON_TABLES(linear_w4_kernels)),
                         isa_name<LinearW4Kernels>);

/// Only in calls of more than 16 rows may a group count as zero, and only below 2^-64 of its column's largest scale.
TEST_P(LinearW4ScalesTest, ASmallScaleIsHeardWhereTheLargeOnesMeetZeros) {
  for (std::size_t m : {1, 8, 9, 17}) {
    for (float small : {0x1p-3f, 0x1p-20f, 0x1p-63f}) {
      for (std::size_t heard : {0u, 1u, 3u}) {
        W4Problem problem({m, 19, 128, 32});
        problem.bias.clear();
        for (std::size_t i = 0; i < problem.scales.size(); ++i) {
          problem.scales[i] = i % 4 == heard ? small : 1.0f;
        }
        for (std::size_t i = 0; i < problem.x.size(); ++i) {
          problem.x[i] = i % 128 / 32 == heard ? problem.x[i] : 0.0f;
        }
        expect_w4(problem, run_w4<float>(*GetParam().kernels, problem), kW4Bound);
        expect_w4(problem, run_w4<bf16>(*GetParam().kernels, problem), kW4Bound);
      }
    }
  }
}

}  // namespace
}  // namespace axion::test
