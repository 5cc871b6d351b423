#include "axion/penalties.h"

#include <algorithm>

namespace axion {
namespace {

constexpr std::size_t kBits = 64;

constexpr std::size_t words_of(std::size_t vocab) { return (vocab + kBits - 1) / kBits; }

/// A set of tokens, one bit each: 19 KB for 152064, which stay in the first cache while the logits do not.
class TokenSet {
 public:
  TokenSet(std::uint64_t* words, std::size_t vocab) : words_(words), size_(words_of(vocab)) {
    std::fill(words, words + size_, 0);
  }

  /// Returns whether it was not there before.
  bool add(std::size_t token) {
    std::uint64_t& word = words_[token / kBits];
    const std::uint64_t bit = std::uint64_t{1} << (token % kBits);
    const bool is_new = (word & bit) == 0;
    word |= bit;
    return is_new;
  }

  /// Call body(token) for each, in ascending order: then its logits are read as a stream.
  template <typename Body>
  void for_each(const Body& body) const {
    for (std::size_t word = 0; word < size_; ++word) {
      for (std::uint64_t bits = words_[word]; bits != 0; bits &= bits - 1) {
        body(word * kBits + static_cast<std::size_t>(__builtin_ctzll(bits)));
      }
    }
  }

 private:
  std::uint64_t* words_;
  std::size_t size_;
};

/// Call body(token) for each token of a row that is none of the padding.
template <typename Body>
void for_tokens(const TokenRows& rows, std::size_t row, std::size_t vocab, const Body& body) {
  const std::int64_t* tokens = rows.tokens + row * rows.stride;
  for (std::size_t i = 0; i < rows.size; ++i) {
    const auto token = static_cast<std::uint64_t>(tokens[i]);  // a negative one becomes large
    if (token < vocab) {
      body(static_cast<std::size_t>(token));
    }
  }
}

void repeat_less(const Penalties& p, std::size_t row, std::uint64_t* words) {
  float* logits = p.logits + row * p.stride;
  // A table and no branch: a sign is guessed wrong half the time.
  const float factors[2] = {p.repetition[row], 1.0f / p.repetition[row]};
  TokenSet seen(words, p.vocab);
  const auto add = [&](std::size_t token) { seen.add(token); };
  for_tokens(p.prompts, row, p.vocab, add);
  for_tokens(p.outputs, row, p.vocab, add);
  seen.for_each([&](std::size_t token) { logits[token] *= factors[logits[token] > 0.0f ? 1 : 0]; });
}

void say_less(const Penalties& p, std::size_t row, std::uint64_t* words, std::uint32_t* counts) {
  float* logits = p.logits + row * p.stride;
  TokenSet seen(words, p.vocab);
  for_tokens(p.outputs, row, p.vocab,
             [&](std::size_t token) { counts[token] = seen.add(token) ? 1 : counts[token] + 1; });
  seen.for_each([&](std::size_t token) {
    logits[token] = (logits[token] - p.frequency[row] * static_cast<float>(counts[token])) - p.presence[row];
  });
}

}  // namespace

std::size_t penalties_worker_bytes(std::size_t vocab) {
  return words_of(vocab) * sizeof(std::uint64_t) + vocab * sizeof(std::uint32_t);
}

void apply_penalties(const Penalties& p, Range rows, void* worker) {
  auto* words = static_cast<std::uint64_t*>(worker);
  auto* counts = reinterpret_cast<std::uint32_t*>(words + words_of(p.vocab));
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    if (p.repetition[row] != 1.0f) {
      repeat_less(p, row, words);
    }
    if (p.frequency[row] != 0.0f || p.presence[row] != 0.0f) {
      say_less(p, row, words, counts);
    }
  }
}

}  // namespace axion
