/// One call of linear_bf16 or linear_w8, of ones, for the modelled benchmark: PROGRAM M N K bf16|f32.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "axion/types.h"

namespace axion {

inline void* aligned(std::size_t bytes) { return std::aligned_alloc(64, (bytes + 127) / 64 * 64); }

/// pack: the family's for bf16; scratch_bytes(m, panels, k): its bytes for all of the call.
template <typename Kernels, typename Pack, typename ScratchBytes>
int call_linear(int argc, char** argv, const Kernels& kernels, Pack pack, const ScratchBytes& scratch_bytes) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s M N K bf16|f32\n", argv[0]);
    return 2;
  }
  const std::size_t m = std::strtoul(argv[1], nullptr, 10);
  const std::size_t n = std::strtoul(argv[2], nullptr, 10);
  const std::size_t k = std::strtoul(argv[3], nullptr, 10);
  const std::size_t panels = (n + kernels.panel_columns - 1) / kernels.panel_columns;
  const std::vector<bf16> x(m * k, bf16{0x3f80});
  const std::vector<bf16> weight(n * k, bf16{0x3f80});
  std::vector<float> y(m * n);
  void* packed = aligned(kernels.packed_bytes(n, k));
  void* scratch = aligned(scratch_bytes(m, panels, k));
  pack({weight.data(), packed, n, k, k}, {0, panels});
  if (std::strcmp(argv[4], "f32") == 0) {
    kernels.linear_f32({x.data(), packed, nullptr, y.data(), scratch, n, k, k, n}, {0, m}, {0, panels});
  } else {
    auto* narrow = reinterpret_cast<bf16*>(y.data());
    kernels.linear({x.data(), packed, nullptr, narrow, scratch, n, k, k, n}, {0, m}, {0, panels});
  }
  std::free(packed);
  std::free(scratch);
  return 0;
}

}  // namespace axion
