// Which token comes out: frequencies, special values, and what the result must not depend on.
#include <gtest/gtest.h>

#include "axion/sampler.h"
#include "isa.h"
#include "reference.h"
#include "sampler_reference.h"

namespace axion::test {
namespace {

class SamplerDrawTest : public testing::TestWithParam<Isa<SamplerKernels>> {
 protected:
  const SamplerKernels& kernels() const { return *GetParam().kernels; }
};

INSTANTIATE_TEST_SUITE_P(Isa, SamplerDrawTest, testing::ValuesIn(AXION_NEON_TABLES(sampler_kernels)),
                         isa_name<SamplerKernels>);

std::int64_t greedy(const SamplerKernels& kernels, const std::vector<float>& logits, float temperature = 0.0f) {
  return Batch<float>(logits, 1, Limits{temperature, 0, 1.0f, 0.0f}).run(kernels)[0];
}

/// Pearson's statistic must stay under its mean plus five standard deviations: one false alarm in a million or so, and
/// the seeds are fixed. Bins that expect fewer than five draws are put together.
void expect_fits(const std::vector<double>& drawn, const std::vector<double>& probability, double draws) {
  double statistic = 0.0;
  double freedom = -1.0;
  double rest_drawn = 0.0;
  double rest_expected = 0.0;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const double expected = probability[i] * draws;
    if (expected < 5.0) {
      ASSERT_TRUE(expected > 0.0 || drawn[i] == 0.0) << "drew a token of probability 0: " << i;
      rest_drawn += drawn[i];
      rest_expected += expected;
      continue;
    }
    statistic += (drawn[i] - expected) * (drawn[i] - expected) / expected;
    freedom += 1.0;
  }
  if (rest_expected >= 5.0) {
    statistic += (rest_drawn - rest_expected) * (rest_drawn - rest_expected) / rest_expected;
    freedom += 1.0;
  }
  EXPECT_LT(statistic, freedom + 5.0 * std::sqrt(2.0 * std::max(freedom, 1.0)) + 5.0) << "freedom " << freedom;
}

template <typename T>
void check_frequencies(const SamplerKernels& kernels, std::size_t vocab, const Limits& limits, std::size_t draws) {
  const std::vector<T> logits = rounded<T>(normal_values(vocab, 11, 2.0));
  const Distribution want = reference_distribution(logits.data(), vocab, limits);
  Batch<T> batch(logits, 1, limits);
  batch.prepare(kernels);
  std::vector<double> drawn(vocab, 0.0);
  for (std::size_t i = 0; i < draws; ++i) {
    batch.seeds[0] = i;  // consecutive seeds, as a caller that counts steps would give
    SamplerCalls<T>::pick(kernels, batch.arguments(), {0, 1}, batch.worker.data());
    drawn[static_cast<std::size_t>(batch.tokens[0])] += 1.0;
  }
  expect_fits(drawn, want.probability, static_cast<double>(draws));
}

TEST_P(SamplerDrawTest, DrawsEachTokenAsOftenAsItsProbabilitySays) {
  for (const Limits& limits : {Limits{1.0f, 0, 1.0f, 0.0f}, Limits{0.7f, 20, 0.8f, 0.0f}, Limits{1.5f, 0, 0.9f, 0.0f},
                               Limits{1.0f, 0, 1.0f, 0.05f}, Limits{1.0f, 30, 1.0f, 0.02f}, Limits{2.0f, 0, 0.7f, 0.1f}}) {
    check_frequencies<float>(kernels(), 50, limits, 8000);
    check_frequencies<bf16>(kernels(), 777, limits, 3000);
  }
}

TEST_P(SamplerDrawTest, DrawsFromAWholeLargeVocabularyAsOftenAsItsProbabilitiesSay) {
  check_frequencies<float>(kernels(), 152064, Limits{1.0f, 0, 1.0f, 0.0f}, 4000);
}

TEST_P(SamplerDrawTest, TakesTheLargestLogitAtTemperatureZeroAndTheLowestIndexOfEqualOnes) {
  std::vector<float> logits = normal_values(3000, 5);
  logits[1300] = logits[1301] = logits[2999] = 50.0f;
  EXPECT_EQ(greedy(kernels(), logits), 1300);
  EXPECT_EQ(greedy(kernels(), logits, 0.9e-5f), 1300);
  EXPECT_EQ(greedy(kernels(), logits, -1.0f), 1300);
  EXPECT_EQ(greedy(kernels(), logits, NAN), 1300);
  EXPECT_EQ(greedy(kernels(), {-0.0f, 0.0f}), 0);
  EXPECT_EQ(greedy(kernels(), {-1.0f}), 0);
}

TEST_P(SamplerDrawTest, NeverChoosesNanOrMinusInfinity) {
  std::uint32_t signalling_bits = 0x7f800001u;
  float signalling;
  std::memcpy(&signalling, &signalling_bits, sizeof signalling);
  for (const std::size_t vocab : {5u, 128u, 300u}) {
    std::vector<float> logits(vocab, -INFINITY);
    logits[0] = NAN;
    logits[1] = signalling;
    logits[3] = -1e30f;
    EXPECT_EQ(greedy(kernels(), logits), 3);
    for (const Limits& limits : {Limits{}, Limits{1.0f, 4, 1.0f, 0.0f}, Limits{1.0f, 0, 0.99f, 0.0f},
                                 Limits{1.0f, 2, 0.5f, 0.5f}}) {
      EXPECT_EQ(Batch<float>(logits, 1, limits).run(kernels())[0], 3) << vocab;
    }
  }
}

TEST_P(SamplerDrawTest, GivesTokenZeroWhereNothingCanBeChosen) {
  for (const Limits& limits : {Limits{0.0f, 0, 1.0f, 0.0f}, Limits{}, Limits{1.0f, 2, 0.5f, 0.1f}}) {
    EXPECT_EQ(Batch<float>(std::vector<float>(200, -INFINITY), 1, limits).run(kernels())[0], 0);
    EXPECT_EQ(Batch<float>(std::vector<float>(200, NAN), 1, limits).run(kernels())[0], 0);
  }
}

TEST_P(SamplerDrawTest, DrawsAmongInfinitiesAsAmongEquals) {
  std::vector<float> logits(300, 3e38f);
  logits[7] = logits[200] = INFINITY;
  EXPECT_EQ(greedy(kernels(), logits), 7);
  std::vector<int> drawn(300, 0);
  Batch<float> batch(logits, 1, Limits{});
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    batch.seeds[0] = seed;
    ++drawn[static_cast<std::size_t>(batch.run(kernels())[0])];
  }
  EXPECT_GT(drawn[7], 60);
  EXPECT_GT(drawn[200], 60);
  EXPECT_EQ(drawn[7] + drawn[200], 200);
}

/// Rows of different limits in one batch.
template <typename T>
Batch<T> mixed_batch(std::size_t rows, std::size_t vocab, std::size_t gap) {
  std::vector<T> logits = rounded<T>(normal_values(rows * vocab + (rows - 1) * gap, 3, 2.0));
  Batch<T> batch(logits, rows, Limits{}, vocab + gap);
  const Limits kinds[] = {{1.0f, 0, 1.0f, 0.0f}, {0.7f, 20, 0.8f, 0.0f}, {1.0f, 0, 0.9f, 0.0f}, {0.0f, 0, 1.0f, 0.0f},
                          {1.0f, 50, 1.0f, 0.1f}};
  for (std::size_t r = 0; r < rows; ++r) {
    const Limits& limits = kinds[r % 5];
    batch.temperature[r] = limits.temperature;
    batch.top_k[r] = limits.top_k;
    batch.top_p[r] = limits.top_p;
    batch.min_p[r] = limits.min_p;
  }
  return batch;
}

template <typename T>
void check_splits(const SamplerKernels& kernels) {
  constexpr std::size_t kRows = 11;
  Batch<T> batch = mixed_batch<T>(kRows, 3333, 5);
  const std::vector<std::int64_t> whole = batch.run(kernels);
  const std::size_t units = sample_units(kRows, 3333);
  for (const std::size_t step : {1u, 3u, 7u}) {
    std::fill(batch.tokens.begin(), batch.tokens.end(), -1);
    std::fill(batch.scratch.begin(), batch.scratch.end(), '\x5a');
    const Sample<T> s = batch.arguments();
    for (std::size_t u = units; u-- > 0;) {
      if (u % step == 0) {
        SamplerCalls<T>::scan(kernels, s, {u, std::min(units, u + step)});
      }
    }
    for (std::size_t u = 0; u < units; u += step) {
      SamplerCalls<T>::mass(kernels, s, {u, std::min(units, u + step)});
    }
    for (std::size_t r = 0; r < kRows; r += step) {
      SamplerCalls<T>::pick(kernels, s, {r, std::min(kRows, r + step)}, batch.worker.data());
    }
    EXPECT_EQ(batch.tokens.copy(), whole) << "step " << step;
  }
}

TEST_P(SamplerDrawTest, GivesTheSameTokensHoweverTheWorkIsSplit) {
  check_splits<float>(kernels());
  check_splits<bf16>(kernels());
}

TEST_P(SamplerDrawTest, GivesARowTheSameTokenAloneAsInABatch) {
  Batch<float> batch = mixed_batch<float>(10, 1500, 0);
  const std::vector<std::int64_t> together = batch.run(kernels());
  for (std::size_t r = 0; r < 10; ++r) {
    const std::vector<float> row(batch.logits.begin() + r * 1500, batch.logits.begin() + (r + 1) * 1500);
    Batch<float> alone(row, 1, Limits{batch.temperature[r], batch.top_k[r], batch.top_p[r], batch.min_p[r]});
    alone.seeds[0] = batch.seeds[r];
    EXPECT_EQ(alone.run(kernels())[0], together[r]) << r;
  }
}

TEST_P(SamplerDrawTest, TakesNullForLimitsThatNoRowHas) {
  const std::vector<float> logits = normal_values(600, 9);
  Batch<float> batch(logits, 1, Limits{});
  const std::int64_t want = batch.run(kernels())[0];
  Sample<float> s = batch.arguments();
  s.top_k = nullptr;
  s.top_p = nullptr;
  s.min_p = nullptr;
  kernels().pick_f32(s, {0, 1}, batch.worker.data());
  EXPECT_EQ(batch.tokens[0], want);
}

TEST(SamplerQueryTest, NeedsMassesOnlyForRandomRowsThatTopKDoesNotLimit) {
  const std::vector<float> logits(100, 0.0f);
  EXPECT_TRUE(sample_needs_mass(Batch<float>(logits, 1, Limits{1.0f, 0, 0.9f, 0.0f}).arguments()));
  EXPECT_TRUE(sample_needs_mass(Batch<float>(logits, 1, Limits{1.0f, 100, 1.0f, 0.0f}).arguments()));
  EXPECT_FALSE(sample_needs_mass(Batch<float>(logits, 1, Limits{1.0f, 99, 0.9f, 0.0f}).arguments()));
  EXPECT_FALSE(sample_needs_mass(Batch<float>(logits, 1, Limits{0.0f, 0, 0.9f, 0.0f}).arguments()));
}

}  // namespace
}  // namespace axion::test
