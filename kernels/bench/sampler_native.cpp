// Times sampling on this machine: sampler_native [vocab batch top_k top_p threads seconds], one JSON line.
//
// Logits are normal with a deviation of 3, as a language model's roughly are. sampler_native.py runs this next to vLLM.
#if defined(_OPENMP)
#include <omp.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "axion/parallel.h"
#include "axion/sampler.h"

namespace {

using Clock = std::chrono::steady_clock;

void sample(axion::Sample<float>& s, char* workers, std::size_t worker_bytes) {
  const axion::SamplerKernels& kernels = axion::portable::sampler_kernels;
  const std::size_t units = axion::sample_units(s.batch, s.vocab);
  axion::parallel_for(units, axion::sample_scan_grain(units), [&](axion::Range range) { kernels.scan_f32(s, range); });
  if (axion::sample_needs_mass(s)) {
    axion::parallel_for(units, axion::kMassGrain, [&](axion::Range range) { kernels.mass_f32(s, range); });
  }
  axion::parallel_for(s.batch, axion::kPickGrain, [&](axion::Range range) {
#if defined(_OPENMP)
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
#else
    const std::size_t thread = 0;
#endif
    kernels.pick_f32(s, range, workers + thread * worker_bytes);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, double fallback) { return argc > i ? std::atof(argv[i]) : fallback; };
  const auto vocab = static_cast<std::size_t>(argument(1, 152064));
  const auto batch = static_cast<std::size_t>(argument(2, 1));
  const auto top_k = static_cast<std::int32_t>(argument(3, 20));
  const auto top_p = static_cast<float>(argument(4, 0.8));
  const int threads = static_cast<int>(argument(5, 1));
  const double seconds = argument(6, 0.5);
#if defined(_OPENMP)
  omp_set_num_threads(threads);
#endif

  // A fresh copy of the logits for each call, as a model's last layer would leave: not in this core's cache.
  constexpr std::size_t kCopies = 8;
  std::mt19937 bits(1);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> logits(kCopies * batch * vocab);
  std::generate(logits.begin(), logits.end(), [&] { return normal(bits); });
  const std::vector<float> temperature(batch, 0.7f);
  const std::vector<std::int32_t> k(batch, top_k);
  const std::vector<float> p(batch, top_p);
  std::vector<std::uint64_t> seeds(batch);
  std::vector<std::int64_t> tokens(batch);
  std::vector<double> scratch(axion::sample_scratch_bytes(batch, vocab) / sizeof(double) + 1);
  const std::size_t worker_bytes = axion::sample_worker_bytes(vocab);
  std::vector<char> workers(worker_bytes * static_cast<std::size_t>(std::max(threads, 1)));

  std::vector<double> times;
  const auto start = Clock::now();
  for (std::size_t call = 0; call < 20 || std::chrono::duration<double>(Clock::now() - start).count() < seconds; ++call) {
    for (std::size_t row = 0; row < batch; ++row) {
      seeds[row] = call * batch + row;
    }
    axion::Sample<float> s{logits.data() + call % kCopies * batch * vocab, batch, vocab, vocab, temperature.data(),
                           k.data(), p.data(), nullptr, seeds.data(), tokens.data(), scratch.data()};
    const auto before = Clock::now();
    sample(s, workers.data(), worker_bytes);
    times.push_back(std::chrono::duration<double>(Clock::now() - before).count());
  }
  std::sort(times.begin(), times.end());
  std::printf("{\"vocab\": %zu, \"batch\": %zu, \"top_k\": %d, \"top_p\": %g, \"threads\": %d, \"calls\": %zu, "
              "\"median_us\": %.1f, \"best_us\": %.1f}\n",
              vocab, batch, top_k, static_cast<double>(top_p), threads, times.size(), times[times.size() / 2] * 1e6,
              times[0] * 1e6);
  return 0;
}
