// The exponential of bf16 attention, by itself: rounding to bf16 would hide a wrong coefficient from the other tests.
#if defined(__aarch64__)
#include <gtest/gtest.h>

#include <cmath>

#include "../src/neon/attention_exp2.h"

namespace axion::test {
namespace {

float exp2_of(float x) { return vgetq_lane_f32(PolynomialExp2()(vdupq_n_f32(x)), 0); }

TEST(AttentionExp2Test, IsWithinItsErrorForEveryFractionAndExponent) {
  for (int i = 0; i < 126 * 128; ++i) {
    const float x = -static_cast<float>(i) / 128.0f;
    const double want = std::exp2(static_cast<double>(x));
    EXPECT_NEAR(static_cast<double>(exp2_of(x)) / want, 1.0, 7.6e-5) << x;
  }
}

TEST(AttentionExp2Test, GivesZeroFarBelowAndKeepsNan) {
  EXPECT_EQ(exp2_of(-127.0f), 0.0f);
  EXPECT_EQ(exp2_of(-1e30f), 0.0f);
  EXPECT_EQ(exp2_of(-INFINITY), 0.0f);
  EXPECT_TRUE(std::isnan(exp2_of(NAN)));
}

}  // namespace
}  // namespace axion::test
#endif
