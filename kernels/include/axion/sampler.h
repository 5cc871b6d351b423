/// Choosing a token from a row of logits: greedy, or at random after temperature, min-p, top-k and top-p.
#pragma once

#include "axion/types.h"

namespace axion {

/// tokens[r] for each row r of logits, [batch, vocab] with rows `stride` elements apart.
///
/// With w(x) = exp((x - max of the row) / temperature), a row is cut down in this order, which is vLLM's:
///   min_p  keeps tokens with w >= min_p (the most likely one has w = 1);
///   top_k  keeps the k largest logits; of equal logits the lower index goes first, so exactly k stay;
///   top_p  keeps, in the same order, the shortest run whose share of what was left reaches p, at least one token.
/// One token is then drawn with probability proportional to w. The share and w are computed in double from the exact
/// logits, so a set differs from that of exact arithmetic only where p lies within 1e-13 of a sum.
/// A temperature below kGreedyTemperature (or NaN) takes the largest logit, the lowest index where equal.
///
/// temperature: one a row. top_k, top_p, min_p: one a row, or nullptr for none; top_k < 1 or >= vocab, top_p >= 1 (or
/// NaN) and min_p <= 0 (or NaN) cut nothing, top_p <= 0 keeps one token, min_p > 1 means 1. seeds: one a row; the token
/// depends on the row's values and its seed alone, never on the batch, on other rows or on threads.
/// A NaN or -infinity logit is never chosen, +infinity counts as the largest float, -0 equals +0; a row with nothing
/// but NaN and -infinity gives token 0. vocab: 1 to 2^32 - 1. No alignment is required.
template <typename T>
struct Sample {
  const T* logits;
  std::size_t batch;
  std::size_t vocab;
  std::size_t stride;
  const float* temperature;
  const std::int32_t* top_k;
  const float* top_p;
  const float* min_p;
  const std::uint64_t* seeds;
  std::int64_t* tokens;
  void* scratch;  ///< sample_scratch_bytes(batch, vocab), aligned to 8; shared by all calls for one batch
};

/// vLLM's: below it the division would overflow float for ordinary logits.
constexpr float kGreedyTemperature = 1e-5f;

/// Logits that scan and mass treat as one unit of work: small enough to spread one row over many cores.
constexpr std::size_t kSampleSpan = 1024;

/// Units that are worth a thread's waking (about 10 us of work): fewer cost more in waiting than they save.
constexpr std::size_t kScanGrain = 128;
constexpr std::size_t kMassGrain = 4;
constexpr std::size_t kPickGrain = 2;

/// Units of work of scan and mass: unit u is span u % spans of row u / spans, with spans = ceil(vocab / kSampleSpan).
constexpr std::size_t sample_units(std::size_t batch, std::size_t vocab) {
  return batch * ((vocab + kSampleSpan - 1) / kSampleSpan);
}

/// The grain of scan: as many equal parts as there are full kScanGrain, so that no thread wakes for a small rest.
constexpr std::size_t sample_scan_grain(std::size_t units) {
  const std::size_t parts = units < 2 * kScanGrain ? 1 : units / kScanGrain;
  return units == 0 ? 1 : (units + parts - 1) / parts;
}

std::size_t sample_scratch_bytes(std::size_t batch, std::size_t vocab);

/// What one call of pick needs for itself, whatever its rows; aligned to 8. Only touched as far as needed.
std::size_t sample_worker_bytes(std::size_t vocab);

/// Whether any row draws from the whole vocabulary, so that mass must run. Rows limited by top_k do not need it.
template <typename T>
bool sample_needs_mass(const Sample<T>& sample);
extern template bool sample_needs_mass(const Sample<float>&);
extern template bool sample_needs_mass(const Sample<bf16>&);

/// Three steps, each of which may be split over threads at will, with all of one finished before the next:
///   scan over sample_units(); mass over sample_units() if sample_needs_mass(); pick over the rows.
struct SamplerKernels {
  void (*scan_f32)(const Sample<float>&, Range units);
  void (*scan_bf16)(const Sample<bf16>&, Range units);
  void (*mass_f32)(const Sample<float>&, Range units);
  void (*mass_bf16)(const Sample<bf16>&, Range units);
  void (*pick_f32)(const Sample<float>&, Range rows, void* worker);
  void (*pick_bf16)(const Sample<bf16>&, Range rows, void* worker);
};

namespace portable {
extern const SamplerKernels sampler_kernels;
}
#if defined(__aarch64__)
namespace neon {
extern const SamplerKernels sampler_kernels;
}
#endif

}  // namespace axion
