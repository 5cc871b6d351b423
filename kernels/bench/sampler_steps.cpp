// One call of each step of sampling for the modelled benchmark: sampler_steps ISA vocab top_k top_p [bf16].
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "axion/dispatch.h"

namespace {

template <typename T, typename Step, typename Pick>
std::int64_t run(Step scan, Step mass, Pick pick, std::size_t vocab, std::int32_t top_k, float top_p) {
  std::mt19937 bits(1);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<T> logits(vocab);
  for (T& logit : logits) {
    logit = axion::from_float<T>(normal(bits));
  }
  const float temperature = 0.7f;
  const std::uint64_t seed = 1;
  std::int64_t token = 0;
  std::vector<double> scratch(axion::sample_scratch_bytes(1, vocab) / sizeof(double) + 1);
  std::vector<char> worker(axion::sample_worker_bytes(vocab));
  const axion::Sample<T> s{logits.data(), 1, vocab, vocab, &temperature, &top_k, &top_p, nullptr, &seed, &token, scratch.data()};
  scan(s, {0, axion::sample_units(1, vocab)});
  if (axion::sample_needs_mass(s)) {
    mass(s, {0, axion::sample_units(1, vocab)});
  }
  pick(s, {0, 1}, worker.data());
  return token;
}

}  // namespace

int main(int argc, char** argv) {
  const axion::KernelTable* table = argc > 4 ? axion::find_kernels(argv[1]) : nullptr;
  if (table == nullptr) {
    std::fputs("usage: sampler_steps portable|neon vocab top_k top_p [bf16]\n", stderr);
    return 2;
  }
  const auto vocab = static_cast<std::size_t>(std::atol(argv[2]));
  const auto top_k = static_cast<std::int32_t>(std::atoi(argv[3]));
  const auto top_p = static_cast<float>(std::atof(argv[4]));
  const axion::SamplerKernels& k = table->sampler;
  const std::int64_t token = argc > 5 ? run<axion::bf16>(k.scan_bf16, k.mass_bf16, k.pick_bf16, vocab, top_k, top_p)
                                      : run<float>(k.scan_f32, k.mass_f32, k.pick_f32, vocab, top_k, top_p);
  std::printf("%lld\n", static_cast<long long>(token));
  return 0;
}
