/// Making tokens that were said before less likely: repetition, frequency and presence penalties on rows of logits.
#pragma once

#include "axion/types.h"

namespace axion {

/// The tokens of each row: [batch, size] with rows `stride` elements apart. Anything outside 0 to vocab - 1 is padding.
struct TokenRows {
  const std::int64_t* tokens;
  std::size_t size;
  std::size_t stride;
};

/// For each row of logits, [batch, vocab] with rows `stride` elements apart, in place and in this order:
///   repetition  a token of the prompts or the outputs: x > 0 ? x * (1 / r) : x * r (NaN as x <= 0);
///   frequency   a token that is n times in the outputs: x - f * n;
///   presence    the same token: x - p.
/// Each operation is rounded to float, as vLLM's are: the results are its, bit for bit (a zero's sign may differ where
/// an f or p is negative). Logits of other tokens are neither read nor written: the cost is the tokens', and a bit of a
/// set for each logit.
/// No alignment is required. vocab: 1 to 2^32 - 1; fewer than 2^32 tokens a row.
struct Penalties {
  float* logits;
  std::size_t batch;
  std::size_t vocab;
  std::size_t stride;
  TokenRows prompts;
  TokenRows outputs;
  const float* repetition;
  const float* frequency;
  const float* presence;
};

/// Tokens that are worth a thread's waking: fewer cost more in waiting than they save.
constexpr std::size_t kPenaltyTokens = 16384;

/// What one call needs for itself, whatever its rows; aligned to 8. Only touched as far as needed.
std::size_t penalties_worker_bytes(std::size_t vocab);

/// There is one implementation for all machines: scattered single values leave vector instructions nothing to do.
void apply_penalties(const Penalties& penalties, Range rows, void* worker);

}  // namespace axion
