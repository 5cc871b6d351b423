#include <algorithm>

#include "axion/sampler.h"

#include "sampler_row.h"

namespace axion {
namespace {

// GNU vectors, which every compiler lowers to what the machine has: a plain maximum of floats is not vectorised, since
// only these loops know that a NaN may be passed over and that -0 and +0 are equal.
using Floats = float __attribute__((vector_size(16)));
using Words = std::uint32_t __attribute__((vector_size(16)));
constexpr std::size_t kLanes = 4;
constexpr std::size_t kChains = 4;

struct Maximum {
  Floats lane[kChains];

  void take(std::size_t chain, Floats x) { lane[chain] = x > lane[chain] ? x : lane[chain]; }

  float value() const {
    float largest = -INFINITY;
    for (const Floats& chain : lane) {
      for (std::size_t i = 0; i < kLanes; ++i) {
        largest = chain[i] > largest ? chain[i] : largest;
      }
    }
    return largest;
  }
};

constexpr Floats kLowest = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};

float max_of_block(const float* x) {
  Maximum m{{kLowest, kLowest, kLowest, kLowest}};
  for (std::size_t i = 0; i < kSampleBlock; i += kLanes * kChains) {
    for (std::size_t chain = 0; chain < kChains; ++chain) {
      Floats values;
      std::memcpy(&values, x + i + chain * kLanes, sizeof values);
      m.take(chain, values);
    }
  }
  return m.value();
}

float max_of_block(const bf16* x) {
  Maximum m{{kLowest, kLowest, kLowest, kLowest}};
  for (std::size_t i = 0; i < kSampleBlock; i += 2 * kLanes * 2) {
    for (std::size_t half = 0; half < 2; ++half) {
      Words pairs;
      std::memcpy(&pairs, x + i + half * 2 * kLanes, sizeof pairs);
      const Words even = pairs << 16;
      const Words odd = pairs & 0xffff0000u;
      m.take(2 * half, reinterpret_cast<Floats>(even));
      m.take(2 * half + 1, reinterpret_cast<Floats>(odd));
    }
  }
  return m.value();
}

template <typename T>
float max_of_part(const T* x, std::size_t count) {
  float largest = -INFINITY;
  for (std::size_t i = 0; i < count; ++i) {
    const float value = to_float(x[i]);
    largest = value > largest ? value : largest;
  }
  return largest;
}

/// Sum of the weights of up to a block. The same sums for a part as for a whole block.
template <typename T>
double mass_of(const T* x, std::size_t count, const Weighing& weighing) {
  T padded[kSampleBlock];
  if (count < kSampleBlock) {
    std::fill(std::copy(x, x + count, padded), padded + kSampleBlock, from_float<T>(-INFINITY));  // these weigh nothing
    x = padded;
  }
  constexpr std::size_t kSums = 4;
  Doubles sum[kSums] = {};
  for (std::size_t i = 0; i < kSampleBlock; i += kSums * kDoubles) {
    for (std::size_t j = 0; j < kSums; ++j) {
      const T* pair = x + i + j * kDoubles;
      sum[j] += weights_of(Doubles{to_float(pair[0]), to_float(pair[1])}, weighing);
    }
  }
  const Doubles total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  return total[0] + total[1];
}

template <typename T>
void scan(const Sample<T>& s, Range units) {
  const std::size_t spans = spans_of(s.vocab);
  for (std::size_t unit = units.begin; unit < units.end; ++unit) {
    const std::size_t row = unit / spans;
    const T* logits = s.logits + row * s.stride;
    float* maxima = block_maxima(s, row);
    const std::size_t begin = unit % spans * kSampleSpan;
    for (std::size_t i = begin; i < s.vocab && i < begin + kSampleSpan; i += kSampleBlock) {
      const std::size_t left = s.vocab - i;
      maxima[i / kSampleBlock] = left >= kSampleBlock ? max_of_block(logits + i) : max_of_part(logits + i, left);
    }
  }
}

template <typename T>
void mass(const Sample<T>& s, Range units) {
  const std::size_t spans = spans_of(s.vocab);
  std::size_t known_row = s.batch;
  Weighing weighing{};
  for (std::size_t unit = units.begin; unit < units.end; ++unit) {
    const std::size_t row = unit / spans;
    if (!needs_mass(s, row)) {
      continue;
    }
    if (row != known_row) {
      weighing = weighing_of(s, row, row_max(block_maxima(s, row), blocks_of(s.vocab)));
      known_row = row;
    }
    const T* logits = s.logits + row * s.stride;
    double* masses = block_masses(s, row);
    const std::size_t begin = unit % spans * kSampleSpan;
    for (std::size_t i = begin; i < s.vocab && i < begin + kSampleSpan; i += kSampleBlock) {
      const std::size_t left = s.vocab - i;
      masses[i / kSampleBlock] = mass_of(logits + i, left < kSampleBlock ? left : kSampleBlock, weighing);
    }
  }
}

}  // namespace

std::size_t sample_scratch_bytes(std::size_t batch, std::size_t vocab) {
  const std::size_t bytes = batch * blocks_of(vocab) * (sizeof(double) + sizeof(float));
  return (bytes + alignof(double) - 1) / alignof(double) * alignof(double);
}

template <typename T>
bool sample_needs_mass(const Sample<T>& sample) {
  for (std::size_t row = 0; row < sample.batch; ++row) {
    if (needs_mass(sample, row)) {
      return true;
    }
  }
  return false;
}
template bool sample_needs_mass(const Sample<float>&);
template bool sample_needs_mass(const Sample<bf16>&);

namespace portable {
const SamplerKernels sampler_kernels = {
    scan<float>, scan<bf16>, mass<float>, mass<bf16>, sample_pick_f32, sample_pick_bf16,
};
}

}  // namespace axion
