#if !defined(__ARM_NEON)
#error "built with NEON"
#endif
#include "axion/sampler.h"

#include <arm_neon.h>

#include <algorithm>

#include "../portable/sampler_row.h"

namespace axion {
namespace {

// Chains side by side hide the latency of compare and select. (FMAXNM would be one instruction, but it turns a
// signalling NaN into a NaN, where a logit that is none must be passed over.)
constexpr std::size_t kChains = 8;
constexpr std::size_t kLanes = 4;

struct Maximum {
  float32x4_t lane[kChains];

  Maximum() { std::fill(lane, lane + kChains, vdupq_n_f32(-INFINITY)); }

  void take(std::size_t chain, float32x4_t x) { lane[chain] = vbslq_f32(vcgtq_f32(x, lane[chain]), x, lane[chain]); }

  float value() const {
    const float32x4_t a = vmaxnmq_f32(vmaxnmq_f32(lane[0], lane[1]), vmaxnmq_f32(lane[2], lane[3]));
    const float32x4_t b = vmaxnmq_f32(vmaxnmq_f32(lane[4], lane[5]), vmaxnmq_f32(lane[6], lane[7]));
    return vmaxnmvq_f32(vmaxnmq_f32(a, b));
  }
};

float max_of_block(const float* x) {
  Maximum m;
  for (std::size_t i = 0; i < kSampleBlock; i += kChains * kLanes) {
    for (std::size_t chain = 0; chain < kChains; ++chain) {
      m.take(chain, vld1q_f32(x + i + chain * kLanes));
    }
  }
  return m.value();
}

float max_of_block(const bf16* x) {
  const uint16x8_t zero = vdupq_n_u16(0);
  Maximum m;
  for (std::size_t i = 0; i < kSampleBlock; i += kChains * kLanes) {
    for (std::size_t chain = 0; chain < kChains; chain += 2) {
      const uint16x8_t eight = vld1q_u16(reinterpret_cast<const std::uint16_t*>(x + i + chain * kLanes));
      m.take(chain, vreinterpretq_f32_u16(vzip1q_u16(zero, eight)));
      m.take(chain + 1, vreinterpretq_f32_u16(vzip2q_u16(zero, eight)));
    }
  }
  return m.value();
}

float32x4_t load_four(const float* x) { return vld1q_f32(x); }

float32x4_t load_four(const bf16* x) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(x)), 16));
}

/// The weight of weights_of(), with its two roundings a step made one.
struct Exp {
  float64x2_t max, per_temperature, floor;

  explicit Exp(const Weighing& w)
      : max(vdupq_n_f64(w.max)), per_temperature(vdupq_n_f64(w.per_temperature)), floor(vdupq_n_f64(w.floor)) {}

  static float64x2_t of_reduced(float64x2_t r) {
    const auto c = [](double value) { return vdupq_n_f64(value); };
    const float64x2_t r2 = vmulq_f64(r, r);
    float64x2_t even = vfmaq_f64(c(1.0 / 3628800), r2, c(1.0 / 479001600));
    float64x2_t odd = vfmaq_f64(c(1.0 / 39916800), r2, c(1.0 / 6227020800.0));
    even = vfmaq_f64(c(1.0 / 40320), even, r2);
    odd = vfmaq_f64(c(1.0 / 362880), odd, r2);
    even = vfmaq_f64(c(1.0 / 720), even, r2);
    odd = vfmaq_f64(c(1.0 / 5040), odd, r2);
    even = vfmaq_f64(c(1.0 / 24), even, r2);
    odd = vfmaq_f64(c(1.0 / 120), odd, r2);
    even = vfmaq_f64(c(0.5), even, r2);
    odd = vfmaq_f64(c(1.0 / 6), odd, r2);
    even = vfmaq_f64(c(1.0), even, r2);
    odd = vfmaq_f64(c(1.0), odd, r2);
    return vfmaq_f64(even, odd, r);
  }

  float64x2_t operator()(float64x2_t x) const {
    const float64x2_t d = vmulq_f64(vsubq_f64(x, max), per_temperature);
    const uint64x2_t light = vcgtq_f64(d, vdupq_n_f64(kLightest));  // false for NaN
    const float64x2_t clamped = vmaxnmq_f64(d, vdupq_n_f64(kLightest));
    const float64x2_t shifted = vfmaq_f64(vdupq_n_f64(kRoundShift), clamped, vdupq_n_f64(kLog2E));
    const float64x2_t n = vsubq_f64(shifted, vdupq_n_f64(kRoundShift));
    const float64x2_t r = vfmsq_f64(vfmsq_f64(clamped, n, vdupq_n_f64(kLn2High)), n, vdupq_n_f64(kLn2Low));
    const int64x2_t scale = vshlq_n_s64(vreinterpretq_s64_f64(shifted), 52);
    const float64x2_t y = vreinterpretq_f64_s64(vaddq_s64(vreinterpretq_s64_f64(of_reduced(r)), scale));
    const uint64x2_t kept = vandq_u64(light, vcgeq_f64(y, floor));
    return vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(y), kept));
  }
};

template <typename T>
double mass_of_block(const T* x, const Exp& exp) {
  const float32x4_t largest = vdupq_n_f32(FLT_MAX);
  float64x2_t sum[4];
  std::fill(sum, sum + 4, vdupq_n_f64(0.0));
  for (std::size_t i = 0; i < kSampleBlock; i += 2 * kLanes) {
    for (std::size_t half = 0; half < 2; ++half) {
      const float32x4_t four = vminq_f32(load_four(x + i + half * kLanes), largest);  // FMIN: NaN stays NaN
      sum[2 * half] = vaddq_f64(sum[2 * half], exp(vcvt_f64_f32(vget_low_f32(four))));
      sum[2 * half + 1] = vaddq_f64(sum[2 * half + 1], exp(vcvt_high_f64_f32(four)));
    }
  }
  return vaddvq_f64(vaddq_f64(vaddq_f64(sum[0], sum[1]), vaddq_f64(sum[2], sum[3])));
}

/// Call body(first logit of a block, its number) for each whole block of the span, the last one padded.
template <typename T, typename Body>
void for_blocks(const T* logits, std::size_t vocab, std::size_t begin, const Body& body) {
  for (std::size_t i = begin; i < vocab && i < begin + kSampleSpan; i += kSampleBlock) {
    if (vocab - i >= kSampleBlock) {
      body(logits + i, i / kSampleBlock);
    } else {
      T padded[kSampleBlock];
      std::fill(std::copy(logits + i, logits + vocab, padded), padded + kSampleBlock, from_float<T>(-INFINITY));
      body(padded, i / kSampleBlock);
    }
  }
}

template <typename T>
void scan_neon(const Sample<T>& s, Range units) {
  const std::size_t spans = spans_of(s.vocab);
  for (std::size_t unit = units.begin; unit < units.end; ++unit) {
    const std::size_t row = unit / spans;
    float* maxima = block_maxima(s, row);
    for_blocks(s.logits + row * s.stride, s.vocab, unit % spans * kSampleSpan,
               [&](const T* x, std::size_t block) { maxima[block] = max_of_block(x); });
  }
}

template <typename T>
void mass_neon(const Sample<T>& s, Range units) {
  const std::size_t spans = spans_of(s.vocab);
  std::size_t known_row = s.batch;
  Exp exp{Weighing{}};
  for (std::size_t unit = units.begin; unit < units.end; ++unit) {
    const std::size_t row = unit / spans;
    if (!needs_mass(s, row)) {
      continue;
    }
    if (row != known_row) {
      exp = Exp{weighing_of(s, row, row_max(block_maxima(s, row), blocks_of(s.vocab)))};
      known_row = row;
    }
    double* masses = block_masses(s, row);
    for_blocks(s.logits + row * s.stride, s.vocab, unit % spans * kSampleSpan,
               [&](const T* x, std::size_t block) { masses[block] = mass_of_block(x, exp); });
  }
}

}  // namespace

namespace neon {
const SamplerKernels sampler_kernels = {
    scan_neon<float>, scan_neon<bf16>, mass_neon<float>, mass_neon<bf16>, sample_pick_f32, sample_pick_bf16,
};
}

}  // namespace axion
