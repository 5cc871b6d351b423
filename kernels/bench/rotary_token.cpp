// The rotary embedding of one token, bf16 with a bf16 table, for the modelled benchmark:
// rotary_token ISA(portable|neon) HEADS KV_HEADS HEAD_SIZE ROT_DIM NEOX(0|1)
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "axion/dispatch.h"

int main(int argc, char** argv) {
  const axion::KernelTable* table = argc == 7 ? axion::find_kernels(argv[1]) : nullptr;
  if (table == nullptr) {
    std::fprintf(stderr, "usage: rotary_token ISA(portable|neon) HEADS KV_HEADS HEAD_SIZE ROT_DIM NEOX(0|1)\n");
    return 2;
  }
  const std::size_t heads = std::strtoull(argv[2], nullptr, 10), kv_heads = std::strtoull(argv[3], nullptr, 10);
  const std::size_t head_size = std::strtoull(argv[4], nullptr, 10), rot_dim = std::strtoull(argv[5], nullptr, 10);
  const std::size_t query_size = heads * head_size, key_size = kv_heads * head_size;
  std::vector<axion::bf16> q(query_size, {0x3f80}), key(key_size, {0x4000}), q_out(query_size), key_out(key_size);
  const std::vector<axion::bf16> cache(2 * rot_dim, {0x3f00});
  const std::int64_t position = 1;
  const bool is_neox = std::atoi(argv[6]) != 0;
  table->rotary.rotary_bf16_bf16({&position, cache.data(), q.data(), key.data(), q_out.data(), key_out.data(), heads,
                                  kv_heads, head_size, rot_dim, query_size, key_size, query_size, key_size, is_neox},
                                 {0, 1});
  std::printf("%g\n", static_cast<double>(axion::to_float(q_out[0])));
  return 0;
}
