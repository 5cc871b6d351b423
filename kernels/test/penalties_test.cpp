#include "axion/penalties.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "guarded.h"
#include "reference.h"

namespace axion::test {
namespace {

/// One row for each inner vector of tokens, padded with `padding`; penalties of all rows are the same unless changed.
struct Problem {
  std::size_t vocab;
  std::vector<std::vector<std::int64_t>> prompts;
  std::vector<std::vector<std::int64_t>> outputs;
  std::vector<float> repetition;
  std::vector<float> frequency;
  std::vector<float> presence;
  std::vector<float> logits;
  std::int64_t padding;
  std::size_t gap = 0;  ///< elements between a row's end and the next

  std::size_t batch() const { return prompts.size(); }
};

std::vector<std::int64_t> padded(const std::vector<std::vector<std::int64_t>>& rows, std::int64_t padding) {
  std::size_t longest = 0;
  for (const auto& row : rows) {
    longest = std::max(longest, row.size());
  }
  std::vector<std::int64_t> all;
  for (const auto& row : rows) {
    all.insert(all.end(), row.begin(), row.end());
    all.insert(all.end(), longest - row.size(), padding);
  }
  return all;
}

/// The kernel's result for each split of the rows, which must be the same; the buffers end at forbidden pages.
std::vector<float> penalised(const Problem& problem) {
  const std::size_t batch = problem.batch(), stride = problem.vocab + problem.gap;
  const Guarded<std::int64_t> prompts(padded(problem.prompts, problem.padding));
  const Guarded<std::int64_t> outputs(padded(problem.outputs, problem.padding));
  const Guarded<float> repetition(problem.repetition), frequency(problem.frequency), presence(problem.presence);
  std::vector<float> first;
  for (const std::size_t rows : {batch, std::size_t{1}}) {
    Guarded<float> logits((batch - 1) * stride + problem.vocab);
    for (std::size_t row = 0; row < batch; ++row) {
      std::copy_n(problem.logits.data() + row * problem.vocab, problem.vocab, logits.data() + row * stride);
    }
    Guarded<char> worker((penalties_worker_bytes(problem.vocab) + 7) / 8 * 8);
    const TokenRows prompt_rows{prompts.data(), prompts.size() / batch, prompts.size() / batch};
    const TokenRows output_rows{outputs.data(), outputs.size() / batch, outputs.size() / batch};
    const Penalties call{logits.data(), batch, problem.vocab, stride, prompt_rows, output_rows,
                         repetition.data(), frequency.data(), presence.data()};
    for (std::size_t row = 0; row < batch; row += rows) {
      apply_penalties(call, {row, std::min(row + rows, batch)}, worker.data());
    }
    std::vector<float> result;
    for (std::size_t row = 0; row < batch; ++row) {
      result.insert(result.end(), logits.data() + row * stride, logits.data() + row * stride + problem.vocab);
    }
    EXPECT_TRUE(first.empty() || same_bits(first.data(), result.data(), first.size())) << "depends on the split";
    first = result;
  }
  return first;
}

/// vLLM's definition, token by token of the whole vocabulary.
std::vector<float> reference(const Problem& problem) {
  std::vector<float> result = problem.logits;
  for (std::size_t row = 0; row < problem.batch(); ++row) {
    std::set<std::int64_t> said(problem.prompts[row].begin(), problem.prompts[row].end());
    std::map<std::int64_t, int> counts;
    for (const std::int64_t token : problem.outputs[row]) {
      said.insert(token);
      ++counts[token];
    }
    for (std::size_t token = 0; token < problem.vocab; ++token) {
      float& x = result[row * problem.vocab + token];
      const auto key = static_cast<std::int64_t>(token);
      if (said.count(key) > 0) {
        x = x > 0.0f ? x * (1.0f / problem.repetition[row]) : x * problem.repetition[row];
      }
      if (counts.count(key) > 0) {
        const float less = problem.frequency[row] * static_cast<float>(counts[key]);
        x = x - less;
        x = x - problem.presence[row];
      }
    }
  }
  return result;
}

void expect_same(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_TRUE(got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i]))) << i << ": " << got[i] << ", " << want[i];
  }
}

std::vector<std::int64_t> drawn_tokens(std::size_t count, std::size_t vocab, std::uint32_t seed) {
  std::mt19937 bits(seed);
  std::vector<std::int64_t> tokens(count);
  for (std::int64_t& token : tokens) {
    token = static_cast<std::int64_t>(bits() % vocab);
  }
  return tokens;
}

TEST(PenaltiesTest, ByHand) {
  const Problem problem{6, {{1, 1, 5}}, {{2, 5, 2}}, {2.0f}, {0.5f}, {0.25f}, {1, 4, 8, -1, 3, -3}, 6};
  // 1: halved. 2: halved, then twice 0.5 and 0.25 less. 5: doubled, for it is negative, then 0.75 less.
  const std::vector<float> want{1, 2, 2.75f, -1, 3, -6.75f};
  EXPECT_EQ(penalised(problem), want);
}

TEST(PenaltiesTest, EachPenaltyAloneIsWhatVllmDefines) {
  const std::vector<std::vector<float>> settings{{1.3f, 0, 0}, {1, 0.7f, 0}, {1, 0, 1.1f}, {0.8f, -0.4f, -2}, {1, 0, 0}};
  std::uint32_t seed = 0;
  for (const std::size_t vocab : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65}, std::size_t{1000}}) {
    for (const auto& setting : settings) {
      for (const std::size_t prompt : {std::size_t{0}, std::size_t{1}, std::size_t{70}}) {
        const Problem problem{vocab, {drawn_tokens(prompt, vocab, seed)}, {drawn_tokens(90 - prompt, vocab, seed + 1)},
                              {setting[0]}, {setting[1]}, {setting[2]}, normal_values(vocab, seed, 3.0),
                              static_cast<std::int64_t>(vocab)};
        expect_same(penalised(problem), reference(problem));
        seed += 2;
      }
    }
  }
}

TEST(PenaltiesTest, RowsOfDifferentLengthsAndSettingsDoNotMix) {
  for (const std::int64_t padding : {std::int64_t{300}, std::int64_t{-1}, std::int64_t{1} << 40}) {
    Problem problem{300, {}, {}, {}, {}, {}, normal_values(5 * 300, 3, 3.0), padding, 7};
    for (std::uint32_t row = 0; row < 5; ++row) {
      problem.prompts.push_back(drawn_tokens(40 * row, 300, row));
      problem.outputs.push_back(drawn_tokens(200 - 40 * row, 300, row + 9));
      problem.repetition.push_back(row == 2 ? 1.0f : 1.0f + 0.1f * static_cast<float>(row));
      problem.frequency.push_back(row == 3 ? 0.0f : 0.2f);
      problem.presence.push_back(row == 3 ? 0.0f : 0.3f * static_cast<float>(row));
    }
    expect_same(penalised(problem), reference(problem));
  }
}

TEST(PenaltiesTest, SpecialValuesStayWhatTheyAre) {
  const float inf = INFINITY;
  const Problem problem{6, {{0, 1, 2, 3}}, {{0, 1, 2, 3}}, {1.5f}, {0.1f}, {0.2f}, {inf, -inf, NAN, -0.0f, inf, NAN}, 6};
  expect_same(penalised(problem), reference(problem));
}

TEST(PenaltiesTest, ATokenThatIsSaidVeryOftenIsCountedToTheEnd) {
  const Problem problem{3, {{}}, {std::vector<std::int64_t>(100000, 1)}, {1.0f}, {0.5f}, {0.0f}, {1, 2, 3}, 3};
  const std::vector<float> want{1, -49998, 3};
  EXPECT_EQ(penalised(problem), want);
}

TEST(PenaltiesTest, AVocabularyOfARealModel) {
  const Problem problem{152064, {drawn_tokens(4000, 152064, 1), {}}, {drawn_tokens(500, 900, 2), {}}, {1.05f, 1.05f},
                        {0.1f, 0.1f}, {0.1f, 0.1f}, normal_values(2 * 152064, 4, 3.0), 152064};
  expect_same(penalised(problem), reference(problem));
}

}  // namespace
}  // namespace axion::test
