/// What sampling means, written plainly: in double, with a full sort.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "guarded.h"
#include "axion/sampler.h"

namespace axion::test {

/// One row's parameters; the defaults cut nothing.
struct Limits {
  float temperature = 1.0f;
  std::int32_t top_k = 0;
  float top_p = 1.0f;
  float min_p = 0.0f;
};

/// The probability of each token; 0 for those cut off. Near is set where a sum lies within 1e-12 of top_p's target or a
/// weight within 1e-12 of min_p: there two correct implementations may differ.
struct Distribution {
  std::vector<double> probability;
  bool near_tie = false;
};

template <typename T>
Distribution reference_distribution(const T* logits, std::size_t vocab, const Limits& limits) {
  Distribution result{std::vector<double>(vocab, 0.0), false};
  std::vector<double> x(vocab);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < vocab; ++i) {
    x[i] = std::min(static_cast<double>(to_float(logits[i])), static_cast<double>(FLT_MAX));
    if (x[i] > -INFINITY) {  // neither NaN nor -infinity
      order.push_back(i);
    }
  }
  if (order.empty()) {
    result.probability[0] = 1.0;
    return result;
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] > x[b] || (x[a] == x[b] && a < b); });
  if (!(limits.temperature >= kGreedyTemperature)) {
    result.probability[order[0]] = 1.0;
    return result;
  }
  const double max = x[order[0]];
  const auto weight = [&](std::size_t i) {
    return std::exp((static_cast<double>(x[i]) - max) / static_cast<double>(limits.temperature));
  };
  const double floor = limits.min_p > 0.0f ? std::min(limits.min_p, 1.0f) : 0.0f;
  const std::size_t k = limits.top_k > 0 ? static_cast<std::size_t>(limits.top_k) : vocab;
  order.resize(std::min(order.size(), k));
  std::vector<double> kept;
  double total = 0.0;
  for (const std::size_t i : order) {
    const double w = weight(i);
    result.near_tie |= floor > 0.0 && floor < 1.0 && std::abs(w / floor - 1.0) < 1e-12;
    if (w >= floor && w > 1e-290) {
      kept.push_back(w);
      total += w;
    }
  }
  double sum = 0.0;
  std::size_t count = 0;
  while (count < kept.size()) {
    sum += kept[count++];
    if (limits.top_p < 1.0f) {
      const double target = static_cast<double>(limits.top_p) * total;
      // Equal weights sum exactly in both, so that a sum that equals its target is no matter of rounding.
      result.near_tie |= std::abs(sum - target) < 1e-12 * total && sum != target;
      if (sum >= target) {
        break;
      }
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    result.probability[order[i]] = static_cast<double>(kept[i] / sum);
  }
  return result;
}

template <typename T>
struct SamplerCalls;
template <>
struct SamplerCalls<float> {
  static void scan(const SamplerKernels& k, const Sample<float>& s, Range r) { k.scan_f32(s, r); }
  static void mass(const SamplerKernels& k, const Sample<float>& s, Range r) { k.mass_f32(s, r); }
  static void pick(const SamplerKernels& k, const Sample<float>& s, Range r, void* w) { k.pick_f32(s, r, w); }
};
template <>
struct SamplerCalls<bf16> {
  static void scan(const SamplerKernels& k, const Sample<bf16>& s, Range r) { k.scan_bf16(s, r); }
  static void mass(const SamplerKernels& k, const Sample<bf16>& s, Range r) { k.mass_bf16(s, r); }
  static void pick(const SamplerKernels& k, const Sample<bf16>& s, Range r, void* w) { k.pick_bf16(s, r, w); }
};

/// A batch with every buffer ended by a forbidden page.
template <typename T>
struct Batch {
  Guarded<T> logits;
  std::size_t rows;
  std::size_t vocab;
  std::size_t stride;
  Guarded<float> temperature, top_p, min_p;
  Guarded<std::int32_t> top_k;
  Guarded<std::uint64_t> seeds;
  Guarded<std::int64_t> tokens;
  Guarded<char> scratch, worker;

  Batch(const std::vector<T>& values, std::size_t row_count, const Limits& limits)
      : Batch(values, row_count, limits, values.size() / row_count) {}

  /// values: the rows, `row_stride` apart, the last one without its gap.
  Batch(const std::vector<T>& values, std::size_t row_count, const Limits& limits, std::size_t row_stride)
      : logits(values),
        rows(row_count),
        vocab(values.size() - (row_count - 1) * row_stride),
        stride(row_stride),
        temperature(std::vector<float>(row_count, limits.temperature)),
        top_p(std::vector<float>(row_count, limits.top_p)),
        min_p(std::vector<float>(row_count, limits.min_p)),
        top_k(std::vector<std::int32_t>(row_count, limits.top_k)),
        seeds(row_count),
        tokens(row_count),
        scratch(sample_scratch_bytes(row_count, vocab)),
        worker(sample_worker_bytes(vocab)) {
    std::iota(seeds.begin(), seeds.end(), 1u);
  }

  Sample<T> arguments() {
    return {logits.data(),  rows, vocab, stride, temperature.data(), top_k.data(), top_p.data(), min_p.data(), seeds.data(),
            tokens.data(), scratch.data()};
  }

  void prepare(const SamplerKernels& kernels) {
    const Sample<T> s = arguments();
    const std::size_t units = sample_units(rows, vocab);
    SamplerCalls<T>::scan(kernels, s, {0, units});
    if (sample_needs_mass(s)) {
      SamplerCalls<T>::mass(kernels, s, {0, units});
    }
  }

  std::vector<std::int64_t> run(const SamplerKernels& kernels) {
    prepare(kernels);
    SamplerCalls<T>::pick(kernels, arguments(), {0, rows}, worker.data());
    return tokens.copy();
  }
};

}  // namespace axion::test
