// The last step of sampling, serial in a row: from block maxima and masses to the token.
#include "sampler_candidates.h"

namespace axion {
namespace {

/// Uniform in [0, 1) from a counter: splitmix64's output for this state, 53 bits.
double uniform_of(std::uint64_t seed) {
  std::uint64_t z = seed + 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

template <typename T>
std::int64_t draw_candidate(const Row<T>& row, std::size_t count, double uniform) {
  const double target = uniform * row.mass(row.candidates, row.candidates + count);
  double reached = 0.0;
  std::int64_t token = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double weight = weight_of(logit_of(row.candidates[i]), row.weighing);
    if (weight > 0.0) {  // rounding may leave the target unreached: the last token with any weight stands then
      token = index_of(row.candidates[i]);
      reached += weight;
      if (reached > target) {
        break;
      }
    }
  }
  return token;
}

/// From the whole row: the block by the block masses, then the token inside it.
template <typename T>
std::int64_t draw_token(const Row<T>& row, double total, double uniform) {
  double left = uniform * total;
  std::size_t chosen = 0;
  for (std::size_t block = 0; block < row.blocks; ++block) {
    if (row.masses[block] > 0.0) {
      chosen = block;
      if (row.masses[block] > left) {
        break;
      }
      left -= row.masses[block];
    }
  }
  std::size_t token = chosen * kSampleBlock;
  for (std::size_t i = token; i < row.block_end(chosen); ++i) {
    const double weight = weight_of(to_float(row.logits[i]), row.weighing);
    if (weight > 0.0) {
      token = i;
      if (weight > left) {
        break;
      }
      left -= weight;
    }
  }
  return static_cast<std::int64_t>(token);
}

template <typename T>
std::int64_t largest_token(const Row<T>& row) {
  std::size_t block = 0;
  for (std::size_t b = 1; b < row.blocks; ++b) {
    block = row.maxima[b] > row.maxima[block] ? b : block;
  }
  std::size_t token = block * kSampleBlock;
  for (std::size_t i = token; i < row.block_end(block); ++i) {
    if (to_float(row.logits[i]) == row.maxima[block]) {
      return static_cast<std::int64_t>(i);
    }
  }
  return 0;  // NaN and -infinity alone
}

template <typename T>
std::int64_t pick_row(const Sample<T>& s, std::size_t r, Candidate* candidates) {
  Row<T> row = row_of(s, r, candidates);
  if (is_greedy(s.temperature[r]) || !(row.max > -INFINITY)) {
    return largest_token(row);
  }
  row.weighing = weighing_of(s, r, row.max);
  const double uniform = uniform_of(s.seeds[r]);
  if (limited_by_top_k(s, r) || top_p_of(s, r) < 1.0) {
    return draw_candidate(row, keep_candidates(s, r, row), uniform);
  }
  return draw_token(row, total_mass(row), uniform);
}

template <typename T>
void pick(const Sample<T>& s, Range rows, void* worker) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    s.tokens[row] = pick_row(s, row, static_cast<Candidate*>(worker));
  }
}

}  // namespace

std::size_t sample_worker_bytes(std::size_t vocab) { return vocab * sizeof(Candidate); }

void sample_pick_f32(const Sample<float>& sample, Range rows, void* worker) { pick(sample, rows, worker); }

void sample_pick_bf16(const Sample<bf16>& sample, Range rows, void* worker) { pick(sample, rows, worker); }

}  // namespace axion
