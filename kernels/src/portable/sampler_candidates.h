/// Private to the sampler's last step: the tokens of a row that are still in question, and how they are cut down.
#pragma once

#include <algorithm>
#include <functional>

#include "sampler_row.h"

namespace axion {
namespace {

/// A token as one integer: its logit's order in the high half, the complement of its index in the low half, so that
/// the larger of two integers is the larger logit or, where these are equal, the lower index.
using Candidate = std::uint64_t;

inline Candidate candidate_of(float logit, std::size_t index) {
  const float unsigned_zero = logit + 0.0f;  // -0 becomes +0, so that they tie
  std::uint32_t bits;
  std::memcpy(&bits, &unsigned_zero, sizeof bits);
  const std::uint32_t order = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return (Candidate{order} << 32) | (0xffffffffu - static_cast<std::uint32_t>(index));
}

inline std::int64_t index_of(Candidate candidate) {
  return static_cast<std::int64_t>(0xffffffffu - (candidate & 0xffffffffu));
}

inline float logit_of(Candidate candidate) {
  const auto order = static_cast<std::uint32_t>(candidate >> 32);
  const std::uint32_t bits = (order & 0x80000000u) != 0 ? order & 0x7fffffffu : ~order;
  float logit;
  std::memcpy(&logit, &bits, sizeof logit);
  return logit;
}

/// One row, its maxima and masses, and room for its candidates.
template <typename T>
struct Row {
  const T* logits;
  std::size_t vocab;
  std::size_t blocks;
  const float* maxima;
  const double* masses;
  Candidate* candidates;
  float max;
  Weighing weighing;  ///< set once the row is known to be drawn from

  std::size_t block_end(std::size_t block) const { return std::min(vocab, (block + 1) * kSampleBlock); }

  /// Candidates are all logits from `least` up, -infinity and NaN excluded. Reads only blocks that reach it.
  std::size_t gather(float least) {
    std::size_t count = 0;
    for (std::size_t block = 0; block < blocks; ++block) {
      if (!(maxima[block] >= least)) {
        continue;
      }
      for (std::size_t i = block * kSampleBlock; i < block_end(block); ++i) {
        const float logit = to_float(logits[i]);
        candidates[count] = candidate_of(logit, i);
        count += logit >= least && logit > -INFINITY ? 1 : 0;
      }
    }
    return count;
  }

  double mass(const Candidate* begin, const Candidate* end) const {
    Doubles sum = both(0.0);
    for (; end - begin >= 2; begin += 2) {
      sum += weights_of(Doubles{logit_of(begin[0]), logit_of(begin[1])}, weighing);
    }
    return sum[0] + sum[1] + (begin != end ? weight_of(logit_of(*begin), weighing) : 0.0);
  }
};

template <typename T>
Row<T> row_of(const Sample<T>& s, std::size_t r, Candidate* candidates) {
  const std::size_t blocks = blocks_of(s.vocab);
  const float* maxima = block_maxima(s, r);
  return {s.logits + r * s.stride, s.vocab, blocks, maxima, block_masses(s, r), candidates, row_max(maxima, blocks), {}};
}

template <typename T>
double total_mass(const Row<T>& row) {
  double total = 0.0;
  for (std::size_t block = 0; block < row.blocks; ++block) {
    total += row.masses[block];
  }
  return total;
}

/// The k best candidates, in no order. k blocks have a logit at or above the k-th largest block maximum, so the k-th
/// largest logit cannot be below it: a few blocks are read instead of the whole row.
template <typename T>
std::size_t keep_top_k(Row<T>& row, std::size_t k) {
  float least = -INFINITY;
  if (k <= row.blocks) {
    auto* maxima = reinterpret_cast<float*>(row.candidates);
    std::copy(row.maxima, row.maxima + row.blocks, maxima);
    std::nth_element(maxima, maxima + (k - 1), maxima + row.blocks, std::greater<>());
    least = maxima[k - 1];
  }
  const std::size_t count = row.gather(least);
  if (count <= k) {
    return count;
  }
  std::nth_element(row.candidates, row.candidates + k, row.candidates + count, std::greater<>());
  return k;
}

/// How many candidates are in the shortest run, best first, whose mass reaches target; these come to the front.
/// A selection by mass: the half that holds the end of the run is halved again, so that nothing long is sorted.
template <typename T>
std::size_t keep_nucleus(Row<T>& row, std::size_t count, double target) {
  constexpr std::size_t kSortable = 64;
  Candidate* const first = row.candidates;
  std::size_t begin = 0;
  std::size_t end = count;
  double reached = 0.0;
  while (end - begin > kSortable) {
    const std::size_t middle = begin + (end - begin) / 2;
    std::nth_element(first + begin, first + middle, first + end, std::greater<>());
    const double upper = row.mass(first + begin, first + middle);
    if (reached + upper >= target) {
      end = middle;
    } else {
      reached += upper;
      begin = middle;
    }
  }
  std::sort(first + begin, first + end, std::greater<>());
  while (begin < end) {
    reached += weight_of(logit_of(first[begin]), row.weighing);
    ++begin;
    if (reached >= target) {
      break;
    }
  }
  return begin;
}

/// Candidates that hold the nucleus when nothing else limits it: those near the maximum, then more, then all.
template <typename T>
std::size_t gather_nucleus(Row<T>& row, double target) {
  for (const double depth : {4.0, 8.0, 16.0}) {  // in units of the temperature: e^-16 is 1e-7
    const double least = std::max(row.weighing.max - depth / row.weighing.per_temperature, -double{FLT_MAX});
    const std::size_t count = row.gather(static_cast<float>(least));
    if (row.mass(row.candidates, row.candidates + count) >= target) {
      return count;
    }
  }
  return row.gather(-INFINITY);
}

template <typename T>
double top_p_of(const Sample<T>& s, std::size_t r) {
  const float top_p = s.top_p != nullptr ? s.top_p[r] : 1.0f;
  return top_p < 1.0f ? static_cast<double>(top_p) : 1.0;  // 1 for NaN as well
}

/// How many tokens stay where top_k or top_p limits the row; these are the first candidates. Some may weigh nothing.
template <typename T>
std::size_t keep_candidates(const Sample<T>& s, std::size_t r, Row<T>& row) {
  const double top_p = top_p_of(s, r);
  if (!limited_by_top_k(s, r)) {
    const double target = top_p * total_mass(row);
    return keep_nucleus(row, gather_nucleus(row, target), target);
  }
  const std::size_t count = keep_top_k(row, static_cast<std::size_t>(s.top_k[r]));
  if (top_p < 1.0) {
    return keep_nucleus(row, count, top_p * row.mass(row.candidates, row.candidates + count));
  }
  return count;
}

}  // namespace
}  // namespace axion
