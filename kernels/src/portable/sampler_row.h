/// Private to the sampler's units: how its scratch is laid out and what the weight of a logit is.
///
/// Anonymous: each ISA's unit compiles its own copy, with its own instructions.
#pragma once

#include <cfloat>
#include <cmath>

#include "axion/sampler.h"

namespace axion {

// Defined once, by the portable unit: choosing among the few survivors is not worth an ISA's own code.
void sample_pick_f32(const Sample<float>& sample, Range rows, void* worker);
void sample_pick_bf16(const Sample<bf16>& sample, Range rows, void* worker);

namespace {

/// Logits that share one maximum and one mass. Small, so that few logits are read again when top-k looks for the
/// blocks that hold a survivor; large, so that there are few maxima to search.
constexpr std::size_t kSampleBlock = 128;
static_assert(kSampleSpan % kSampleBlock == 0, "a block belongs to one unit of work");

constexpr std::size_t blocks_of(std::size_t size) { return (size + kSampleBlock - 1) / kSampleBlock; }

constexpr std::size_t spans_of(std::size_t vocab) { return (vocab + kSampleSpan - 1) / kSampleSpan; }

/// The scratch of one row: a mass, then a maximum, for each block.
template <typename T>
double* block_masses(const Sample<T>& s, std::size_t row) {
  return static_cast<double*>(s.scratch) + row * blocks_of(s.vocab);
}

template <typename T>
float* block_maxima(const Sample<T>& s, std::size_t row) {
  return reinterpret_cast<float*>(block_masses(s, s.batch)) + row * blocks_of(s.vocab);
}

/// The largest logit of a row that scan has seen, +infinity as the largest float; -infinity if it has none.
inline float row_max(const float* maxima, std::size_t blocks) {
  float largest = -INFINITY;
  for (std::size_t b = 0; b < blocks; ++b) {
    largest = maxima[b] > largest ? maxima[b] : largest;
  }
  return largest > FLT_MAX ? FLT_MAX : largest;
}

inline bool is_greedy(float temperature) { return !(temperature >= kGreedyTemperature); }

/// What turns a logit of one row into its weight.
struct Weighing {
  double max;
  double per_temperature;
  double floor;  ///< min_p: lighter tokens weigh nothing
};

template <typename T>
Weighing weighing_of(const Sample<T>& s, std::size_t row, float max) {
  const float min_p = s.min_p != nullptr ? s.min_p[row] : 0.0f;
  const double floor = min_p > 0.0f ? static_cast<double>(min_p < 1.0f ? min_p : 1.0f) : 0.0;
  return {static_cast<double>(max), 1.0 / static_cast<double>(s.temperature[row]), floor};
}

template <typename T>
bool limited_by_top_k(const Sample<T>& s, std::size_t row) {
  return s.top_k != nullptr && s.top_k[row] > 0 && static_cast<std::size_t>(s.top_k[row]) < s.vocab;
}

template <typename T>
bool needs_mass(const Sample<T>& s, std::size_t row) {
  return !is_greedy(s.temperature[row]) && !limited_by_top_k(s, row);
}

// exp(d) for d in (-700, 0]: d = n ln 2 + r, |r| <= ln 2 / 2, Taylor's series to the 13th power (remainder < 5e-18).
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kLn2High = 0x1.62e42fefa0000p-1;  // 13 zero bits: n * kLn2High is exact
constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;
constexpr double kRoundShift = 0x1.8p+52;  // adding it leaves the rounded integer in the low bits
constexpr double kLightest = -700.0;       // e^-700: below, a weight is zero, well before it would be denormal

// GNU vectors, which every compiler lowers to what the machine has: written as a loop over one value, the selections
// below keep gcc from making vectors of it.
using Doubles = double __attribute__((vector_size(16)));
using DoubleBits = std::uint64_t __attribute__((vector_size(16)));
constexpr std::size_t kDoubles = 2;

inline Doubles both(double value) { return Doubles{value, value}; }

/// The series, split into even and odd powers so that two halves run side by side.
inline Doubles exp_of_reduced(Doubles r) {
  const Doubles r2 = r * r;
  Doubles even = r2 * (1.0 / 479001600) + 1.0 / 3628800;
  Doubles odd = r2 * (1.0 / 6227020800.0) + 1.0 / 39916800;
  even = even * r2 + 1.0 / 40320;
  odd = odd * r2 + 1.0 / 362880;
  even = even * r2 + 1.0 / 720;
  odd = odd * r2 + 1.0 / 5040;
  even = even * r2 + 1.0 / 24;
  odd = odd * r2 + 1.0 / 120;
  even = even * r2 + 0.5;
  odd = odd * r2 + 1.0 / 6;
  even = even * r2 + 1.0;
  odd = odd * r2 + 1.0;
  return odd * r + even;
}

/// exp((x - max) / temperature) within 2e-15 relative for d near 0 (d's own rounding adds |d| 2^-53); exactly 1 for
/// x == max; zero for NaN and -infinity and below the floor.
inline Doubles weights_of(Doubles logits, const Weighing& w) {
  const Doubles x = logits > both(FLT_MAX) ? both(FLT_MAX) : logits;
  const Doubles d = (x - w.max) * w.per_temperature;
  const Doubles clamped = d > both(kLightest) ? d : both(kLightest);
  const Doubles shifted = clamped * kLog2E + kRoundShift;
  const Doubles n = shifted - kRoundShift;
  const Doubles poly = exp_of_reduced((clamped - n * kLn2High) - n * kLn2Low);
  const DoubleBits bits = reinterpret_cast<DoubleBits>(poly) + (reinterpret_cast<DoubleBits>(shifted) << 52);
  const Doubles result = reinterpret_cast<Doubles>(bits);  // poly * 2^n
  const Doubles heavy = result >= both(w.floor) ? result : both(0.0);
  return d > both(kLightest) ? heavy : both(0.0);
}

/// The same instructions, so that a token weighs the same wherever its weight is taken.
inline double weight_of(float logit, const Weighing& w) { return weights_of(both(static_cast<double>(logit)), w)[0]; }

}  // namespace
}  // namespace axion
