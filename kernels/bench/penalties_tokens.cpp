// One row's penalties for the modelled benchmark: penalties_tokens vocab prompt_tokens output_tokens.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "axion/penalties.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: penalties_tokens vocab prompt_tokens output_tokens\n", stderr);
    return 2;
  }
  const auto vocab = static_cast<std::size_t>(std::atol(argv[1]));
  const auto tokens_of = [&](const char* count, std::uint32_t seed) {
    std::mt19937 bits(seed);
    std::vector<std::int64_t> tokens(static_cast<std::size_t>(std::atol(count)));
    for (std::int64_t& token : tokens) {
      token = static_cast<std::int64_t>(bits() % vocab);
    }
    return tokens;
  };
  const std::vector<std::int64_t> prompt = tokens_of(argv[2], 1), said = tokens_of(argv[3], 2);
  std::vector<float> logits(vocab);
  std::mt19937 bits(3);
  for (float& logit : logits) {
    logit = static_cast<float>(bits()) * 0x1p-30f - 2.0f;
  }
  const float repetition = 1.05f, frequency = 0.1f, presence = 0.1f;
  std::vector<double> worker(axion::penalties_worker_bytes(vocab) / sizeof(double) + 1);
  axion::apply_penalties({logits.data(), 1, vocab, vocab, {prompt.data(), prompt.size(), prompt.size()},
                          {said.data(), said.size(), said.size()}, &repetition, &frequency, &presence},
                         {0, 1}, worker.data());
  std::printf("%g\n", static_cast<double>(logits[static_cast<std::size_t>(said[0])]));
  return 0;
}
