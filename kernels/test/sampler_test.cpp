#include "axion/sampler.h"

#include <gtest/gtest.h>

#include "../src/portable/sampler_candidates.h"
#include "isa.h"
#include "reference.h"
#include "sampler_reference.h"

namespace axion::test {
namespace {

class SamplerTest : public testing::TestWithParam<Isa<SamplerKernels>> {
 protected:
  const SamplerKernels& kernels() const { return *GetParam().kernels; }
};

INSTANTIATE_TEST_SUITE_P(Isa, SamplerTest, testing::ValuesIn(AXION_NEON_TABLES(sampler_kernels)),
                         isa_name<SamplerKernels>);

/// Logits with ties (steps of 1/4 and -0 beside +0), and some -infinity and NaN.
std::vector<float> rough_logits(std::size_t count, std::uint32_t seed, bool ties) {
  std::vector<float> logits = normal_values(count, seed, 2.0);
  std::mt19937 bits(seed);
  for (float& x : logits) {
    x = ties ? std::round(x * 4.0f) / 4.0f : x;
    const std::uint32_t kind = bits() % 16;
    x = kind == 0 ? -INFINITY : kind == 1 ? NAN : kind == 2 ? std::copysign(0.0f, x) : x;
  }
  return logits;
}

Limits rough_limits(std::uint32_t seed, std::size_t vocab) {
  std::mt19937 bits(seed);
  Limits limits;
  limits.temperature = std::vector<float>{0.3f, 0.7f, 1.0f, 2.5f}[bits() % 4];
  const auto any_k = static_cast<std::int32_t>(1 + bits() % (vocab + 1));
  limits.top_k = std::vector<std::int32_t>{0, -1, 1, 5, 20, any_k}[bits() % 6];
  limits.top_p = std::vector<float>{1.0f, 0.0f, 0.1f, 0.5f, 0.8f, 0.95f, 0.9999f}[bits() % 7];
  limits.min_p = std::vector<float>{0.0f, 0.0f, 0.05f, 0.3f, 1.0f}[bits() % 5];
  return limits;
}

/// The tokens that row `r` may draw, from the kernel's own scan and mass.
template <typename T>
std::vector<bool> kept_tokens(const SamplerKernels& kernels, Batch<T>& batch, std::size_t r) {
  batch.prepare(kernels);
  const Sample<T> s = batch.arguments();
  Row<T> row = row_of(s, r, reinterpret_cast<Candidate*>(batch.worker.data()));
  row.weighing = weighing_of(s, r, row.max);
  std::vector<bool> kept(batch.vocab, false);
  if (limited_by_top_k(s, r) || top_p_of(s, r) < 1.0) {
    const std::size_t count = keep_candidates(s, r, row);
    for (std::size_t i = 0; i < count; ++i) {
      kept[index_of(row.candidates[i])] = weight_of(logit_of(row.candidates[i]), row.weighing) > 0.0;
    }
    return kept;
  }
  for (std::size_t i = 0; i < batch.vocab; ++i) {
    kept[i] = weight_of(to_float(row.logits[i]), row.weighing) > 0.0;
  }
  return kept;
}

/// One random row: the kept set equals the reference's, token by token, and the token drawn is of that set.
template <typename T>
bool check_row(const SamplerKernels& kernels, std::size_t vocab, std::uint32_t seed, bool ties) {
  const std::vector<T> logits = rounded<T>(rough_logits(vocab, seed, ties));
  const Limits limits = rough_limits(seed + 7, vocab);
  const Distribution want = reference_distribution(logits.data(), vocab, limits);
  if (want.near_tie || std::none_of(logits.begin(), logits.end(), [](T x) { return to_float(x) > -INFINITY; })) {
    return false;
  }
  Batch<T> batch(logits, 1, limits);
  const std::vector<bool> kept = kept_tokens(kernels, batch, 0);
  for (std::size_t i = 0; i < vocab; ++i) {
    if (kept[i] != (want.probability[i] > 0.0)) {
      ADD_FAILURE() << "vocab " << vocab << " seed " << seed << " token " << i << " kept " << kept[i] << " probability "
                    << want.probability[i] << " T " << limits.temperature << " k " << limits.top_k << " p "
                    << limits.top_p << " min_p " << limits.min_p;
      return true;
    }
  }
  EXPECT_TRUE(kept[static_cast<std::size_t>(batch.run(kernels)[0])]) << "vocab " << vocab << " seed " << seed;
  return true;
}

template <typename T>
void check_rows(const SamplerKernels& kernels) {
  std::size_t checked = 0;
  std::uint32_t seed = 0;
  for (std::size_t vocab = 1; vocab <= 17; ++vocab) {
    for (int i = 0; i < 80; ++i, ++seed) {
      checked += check_row<T>(kernels, vocab, seed, i % 2 == 0) ? 1 : 0;
    }
  }
  for (const std::size_t vocab : {127, 128, 129, 1023, 1024, 1025, 3000}) {
    for (int i = 0; i < 40; ++i, ++seed) {
      checked += check_row<T>(kernels, vocab, seed, i % 2 == 0) ? 1 : 0;
    }
  }
  EXPECT_GT(checked, 1400u);  // few rows are left out for a near tie
}

TEST_P(SamplerTest, KeepsExactlyTheTokensThatASortWouldF32) { check_rows<float>(kernels()); }
TEST_P(SamplerTest, KeepsExactlyTheTokensThatASortWouldBf16) { check_rows<bf16>(kernels()); }

TEST_P(SamplerTest, KeepsExactlyTheTokensThatASortWouldInVocabulariesOfRealModels) {
  for (const std::size_t vocab : {32768, 151936, 152064, 200064, 262208}) {
    const std::vector<float> logits = normal_values(vocab, static_cast<std::uint32_t>(vocab), 3.0);
    for (const Limits& limits : {Limits{0.7f, 20, 0.8f, 0.0f}, Limits{1.0f, 0, 0.95f, 0.0f}, Limits{1.0f, 5000, 0.9f, 0.01f}}) {
      const Distribution want = reference_distribution(logits.data(), vocab, limits);
      Batch<float> batch(logits, 1, limits);
      const std::vector<bool> kept = kept_tokens(kernels(), batch, 0);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < vocab; ++i) {
        wrong += kept[i] != (want.probability[i] > 0.0) ? 1 : 0;
      }
      EXPECT_EQ(wrong, 0u) << vocab << " near tie " << want.near_tie;
    }
  }
}

/// The second block holds one token alone, so that its mass is that token's weight.
TEST_P(SamplerTest, WeighsATokenWithin2E15OfItsExponential) {
  std::vector<float> logits(129, -INFINITY);
  logits[0] = 0.0f;
  for (int i = 0; i < 1500; ++i) {
    logits[128] = static_cast<float>(-0.4637 * i);
    Batch<float> batch(logits, 1, Limits{});
    batch.prepare(kernels());
    const double want = std::exp(static_cast<double>(logits[128]));
    EXPECT_NEAR(block_masses(batch.arguments(), 0)[1] / want, 1.0, 2e-15) << logits[128];
  }
  logits[128] = -701.0f;
  Batch<float> batch(logits, 1, Limits{});
  batch.prepare(kernels());
  EXPECT_EQ(block_masses(batch.arguments(), 0)[1], 0.0);
}

TEST_P(SamplerTest, TopKKeepsExactlyKOfEqualLogitsTheLowestIndicesFirst) {
  Batch<float> batch(std::vector<float>(5000, 1.5f), 1, Limits{1.0f, 7, 1.0f, 0.0f});
  const std::vector<bool> kept = kept_tokens(kernels(), batch, 0);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    EXPECT_EQ(kept[i], i < 7) << i;
  }
}

TEST_P(SamplerTest, TopPOfEqualLogitsKeepsTheLowestIndicesUpToItsShare) {
  Batch<float> batch(std::vector<float>(1000, -2.0f), 1, Limits{1.0f, 0, 0.25f, 0.0f});
  const std::vector<bool> kept = kept_tokens(kernels(), batch, 0);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), true), 250);
  EXPECT_TRUE(kept[249]);
}

}  // namespace
}  // namespace axion::test
