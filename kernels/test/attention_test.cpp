#include "axion/attention.h"

#include <gtest/gtest.h>

#include "attention_reference.h"
#include "isa.h"

namespace axion::test {
namespace {

class AttentionTest : public testing::TestWithParam<Isa<AttentionKernels>> {
 protected:
  const AttentionKernels& kernels() const { return *GetParam().kernels; }
  bool multiplies_bf16() const { return std::string(GetParam().name) != "portable"; }

  /// Every element of every row within the bound that attention.h promises.
  template <typename T>
  void check(const Shape& shape, std::uint32_t seed = 1, double deviation = 1.0) {
    Case<T> c(shape, seed, deviation);
    c.run(kernels());
    for (std::size_t b = 0; b < shape.batch; ++b) {
      for (std::size_t h = 0; h < shape.heads; ++h) {
        for (std::size_t i = 0; i < shape.q_len; ++i) {
          const ReferenceRow want = reference_row(c, b, h, i, multiplies_bf16() && sizeof(T) == 2);
          const T* got = c.out.row(b, h, i);
          for (std::size_t d = 0; d < shape.head_dim; ++d) {
            const double error = std::abs(static_cast<double>(to_float(got[d])) - want.out[d]);
            const double bound =
                kUnitRoundoff<T> * std::abs(want.out[d]) + want.relative_bound * want.absolute[d] * 1.01 + 1e-37;
            if (!(error <= bound)) {
              FAIL() << shape << " at " << b << "," << h << "," << i << "," << d << ": got " << to_float(got[d]) << " want "
                     << want.out[d] << " bound " << bound;
            }
          }
        }
      }
    }
  }

  void check_both(const Shape& shape, std::uint32_t seed = 1) {
    check<float>(shape, seed);
    check<bf16>(shape, seed);
  }
};

INSTANTIATE_TEST_SUITE_P(Isa, AttentionTest, testing::ValuesIn(AXION_SVE2_TABLES(attention_kernels)),
                         isa_name<AttentionKernels>);

TEST_P(AttentionTest, IsWithinItsBoundForEveryHeadSize) {
  for (const std::size_t dim : {1, 7, 16, 32, 33, 64, 80, 96, 112, 128, 250, 256}) {
    check_both({1, 2, 1, 9, 70, dim, true, 0, 0.0f, 0.0f, 0});
    check_both({1, 3, 1, 1, 70, dim, false, 0, 0.0f, 0.0f, 3});
  }
}

TEST_P(AttentionTest, IsWithinItsBoundForTheHeadGroupsOfTheModels) {
  using Heads = std::pair<std::size_t, std::size_t>;
  for (const auto& [heads, kv_heads] : {Heads{24, 8}, {12, 2}, {28, 4}, {32, 8}, {32, 16}, {5, 1}, {2, 2}}) {
    check_both({1, heads, kv_heads, 1, 67, 128, true, 0, 0.0f, 0.0f, 0});
    check_both({1, heads, kv_heads, 6, 11, 32, true, 0, 0.0f, 0.0f, 1});
  }
}

TEST_P(AttentionTest, IsWithinItsBoundForEveryTailOfRowsAndKeys) {
  std::uint32_t seed = 1;
  for (const std::size_t q_len : {1, 2, 3, 7, 8, 9, 31, 32, 33, 65}) {
    for (const std::size_t kv_len : {1, 2, 5, 63, 64, 65, 129}) {
      check_both({1, 1, 1, q_len, kv_len, 32, true, 0, 0.0f, 0.0f, 0}, ++seed);
      check_both({1, 1, 1, q_len, kv_len, 32, false, 0, 0.0f, 0.0f, 5}, ++seed);
    }
  }
}

TEST_P(AttentionTest, SeesTheLastPositionsOfItsWindowAndNoOthers) {
  for (const std::size_t window : {1, 2, 63, 64, 65, 1000}) {
    check_both({1, 2, 1, 40, 150, 32, true, window, 0.0f, 0.0f, 0});
    check_both({1, 2, 1, 40, 40, 32, false, window, 0.0f, 0.0f, 0});
  }
  for (const std::size_t window : {1023, 1024, 1025}) {
    check_both({1, 2, 1, 1, 1026, 32, true, window, 0.0f, 0.0f, 0});
  }
  check_both({1, 1, 1, 3, 5, 32, true, ~std::size_t{0}, 0.0f, 0.0f, 0});
}

TEST_P(AttentionTest, CapsItsLogits) {
  for (const float softcap : {0.5f, 30.0f, 50.0f}) {
    check_both({2, 4, 2, 5, 70, 64, true, 0, softcap, 0.0f, 0});
    check_both({1, 2, 1, 5, 70, 64, true, 0, softcap, 8.0f, 0});
  }
}

TEST_P(AttentionTest, StaysWithinItsBoundForHugeLogitsWithAndWithoutACap) {
  for (const float softcap : {0.0f, 50.0f}) {
    check<float>({1, 2, 1, 5, 70, 64, true, 0, softcap, 1.0f, 0}, 3, 100.0);  // logits of +-1e5
    check<bf16>({1, 2, 1, 5, 70, 64, true, 0, softcap, 1.0f, 0}, 3, 100.0);
  }
}

TEST_P(AttentionTest, GivesZerosToRowsThatSeeNothing) {
  Case<float> c({1, 1, 1, 5, 2, 32, true, 0, 0.0f, 0.0f, 0});
  c.run(kernels());
  Case<bf16> d({1, 2, 1, 5, 0, 32, true, 0, 0.0f, 0.0f, 0});
  d.run(kernels());
  for (std::size_t j = 0; j < 32; ++j) {
    EXPECT_EQ(c.out.row(0, 0, 2)[j], 0.0f);
    EXPECT_NE(c.out.row(0, 0, 3)[j], 0.0f);
    EXPECT_EQ(to_float(d.out.row(0, 1, 4)[j]), 0.0f);
  }
}

TEST_P(AttentionTest, AveragesValuesWhereAllKeysAreEqual) {
  Case<float> c({1, 1, 1, 1, 100, 64, true, 0, 0.0f, 0.0f, 0});
  std::fill(c.k.data.begin(), c.k.data.end(), 0.25f);
  std::fill(c.v.data.begin(), c.v.data.end(), 3.0f);
  c.run(kernels());
  for (std::size_t d = 0; d < 64; ++d) {
    EXPECT_NEAR(c.out.row(0, 0, 0)[d], 3.0f, 3e-6f);
  }
}

template <typename T>
void check_long(const AttentionKernels& kernels) {
  Case<T> c({1, 1, 1, 1, 8192, 16, true, 0, 0.0f, 0.0f, 0});
  std::fill(c.k.data.begin(), c.k.data.end(), from_float<T>(0.25f));
  for (std::size_t j = 0; j < 8192; ++j) {
    std::fill(c.v.row(0, 0, j), c.v.row(0, 0, j) + 16, from_float<T>(j < 4096 ? 1.0f : -1.0f));
  }
  c.run(kernels);
  for (std::size_t d = 0; d < 16; ++d) {
    EXPECT_NEAR(to_float(c.out.row(0, 0, 0)[d]), 0.0f, 1e-5f);
  }
}

TEST_P(AttentionTest, WeighsTheFirstKeysOfALongContextLikeTheLast) {
  check_long<float>(kernels());
  check_long<bf16>(kernels());
}

TEST_P(AttentionTest, GivesTheValueOfAKeyThatOutweighsAllOthers) {
  for (const std::size_t winner : {0, 63, 64, 99}) {
    Case<bf16> c({1, 1, 1, 1, 100, 32, true, 0, 0.0f, 1.0f, 0});
    std::fill(c.q.data.begin(), c.q.data.end(), from_float<bf16>(100.0f));
    std::fill(c.k.data.begin(), c.k.data.end(), from_float<bf16>(-100.0f));
    std::fill(c.k.row(0, 0, winner), c.k.row(0, 0, winner) + 32, from_float<bf16>(100.0f));
    c.run(kernels());
    for (std::size_t d = 0; d < 32; ++d) {
      EXPECT_EQ(to_float(c.out.row(0, 0, 0)[d]), to_float(c.v.row(0, 0, winner)[d])) << winner;
    }
  }
}

template <typename T>
void check_nan(const AttentionKernels& kernels) {
  Case<T> c({1, 2, 1, 3, 100, 64, true, 0, 0.0f, 0.0f, 0});
  c.q.row(0, 0, 1)[5] = from_float<T>(NAN);
  c.k.row(0, 0, 99)[5] = from_float<T>(NAN);  // seen by the last row alone
  c.run(kernels);
  for (std::size_t d = 0; d < 64; ++d) {
    EXPECT_TRUE(std::isnan(to_float(c.out.row(0, 0, 1)[d])));
    EXPECT_TRUE(std::isnan(to_float(c.out.row(0, 0, 2)[d])));
    EXPECT_TRUE(std::isfinite(to_float(c.out.row(0, 0, 0)[d])));
    EXPECT_TRUE(std::isfinite(to_float(c.out.row(0, 1, 1)[d])));
  }
}

TEST_P(AttentionTest, PassesNanOnToTheRowsThatSeeItAndToNoOthers) {
  check_nan<float>(kernels());
  check_nan<bf16>(kernels());
}

template <typename T>
void check_nan_with_a_cap(const AttentionKernels& kernels) {
  Case<T> c({1, 1, 1, 1, 10, 64, true, 0, 30.0f, 0.0f, 0});
  c.q.row(0, 0, 0)[0] = from_float<T>(NAN);
  c.run(kernels);
  EXPECT_TRUE(std::isnan(to_float(c.out.row(0, 0, 0)[0])));
}

TEST_P(AttentionTest, KeepsANanThroughACap) {
  check_nan_with_a_cap<float>(kernels());
  check_nan_with_a_cap<bf16>(kernels());
}

template <typename T>
void check_splits(const AttentionKernels& kernels) {
  const Shape shape{2, 6, 2, 37, 90, 96, true, 50, 0.0f, 0.0f, 2};
  Case<T> whole(shape);
  whole.run(kernels);
  Case<T> split(shape);
  const Attention<T> a = split.arguments();
  for (std::size_t unit = attention_units(a); unit-- > 0;) {
    AttentionCalls<T>::run(kernels, a, {unit, unit + 1}, split.worker.data());
  }
  for (std::size_t i = 0; i < whole.out.data.size(); ++i) {
    ASSERT_EQ(bits_of(whole.out.data[i]), bits_of(split.out.data[i])) << i;  // the gaps between rows included
  }
}

TEST_P(AttentionTest, GivesTheSameBitsHoweverTheUnitsAreSplit) {
  check_splits<float>(kernels());
  check_splits<bf16>(kernels());
}

}  // namespace
}  // namespace axion::test
