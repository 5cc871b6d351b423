// One call of attention for the modelled benchmark: attention_bench ISA q_len kv_len heads kv_heads head_dim [f32].
//
// ISA is portable, neon or sve2. Everything is inlined into the table's function: trace attention_bf16_neon,
// attention_f32_neon, attention_bf16_sve2 or the portable attend. Prints a result, so that nothing is optimised away.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "axion/dispatch.h"

namespace {

template <typename T>
axion::Heads<T> heads_of(T data, std::size_t heads, std::size_t rows, std::size_t dim) {
  return {data, heads * rows * dim, rows * dim, dim};
}

template <typename T, typename Function>
float run(Function function, std::size_t q_len, std::size_t kv_len, std::size_t heads, std::size_t kv_heads,
          std::size_t dim) {
  std::mt19937 bits(1);
  std::normal_distribution<float> normal;
  const auto random = [&](std::size_t count) {
    std::vector<T> values(count);
    for (T& value : values) {
      value = axion::from_float<T>(normal(bits));
    }
    return values;
  };
  const std::vector<T> q = random(heads * q_len * dim);
  const std::vector<T> k = random(kv_heads * kv_len * dim);
  const std::vector<T> v = random(kv_heads * kv_len * dim);
  std::vector<T> out(q.size());
  std::vector<char> worker(axion::attention_worker_bytes());
  const axion::Attention<T> attention{heads_of(q.data(), heads, q_len, dim),
                                      heads_of(k.data(), kv_heads, kv_len, dim),
                                      heads_of(v.data(), kv_heads, kv_len, dim),
                                      heads_of(out.data(), heads, q_len, dim),
                                      1, heads, kv_heads, q_len, kv_len, dim,
                                      1.0f / std::sqrt(static_cast<float>(dim)), true, 0, 0.0f};
  function(attention, axion::Range{0, axion::attention_units(attention)}, worker.data());
  return axion::to_float(out[0]);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    std::fputs("usage: attention_bench ISA q_len kv_len heads kv_heads head_dim [f32]\n", stderr);
    return 2;
  }
  const axion::KernelTable* table = axion::find_kernels(argv[1]);
  if (table == nullptr) {
    std::fprintf(stderr, "ISA: portable, neon or sve2, got %s\n", argv[1]);
    return 2;
  }
  const auto size = [&](int i) { return static_cast<std::size_t>(std::atol(argv[i])); };
  const axion::AttentionKernels& k = table->attention;
  const float sum = argc > 7 ? run<float>(k.attention_f32, size(2), size(3), size(4), size(5), size(6))
                             : run<axion::bf16>(k.attention_bf16, size(2), size(3), size(4), size(5), size(6));
  std::printf("%g\n", static_cast<double>(sum));
  return 0;
}
