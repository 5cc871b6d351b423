// One linear_w8 of a given shape: `linear_w8_gemv M N K bf16|f32`. To model is the work of its inner functions:
// tile (4, 2 or 1 rows against a panel, epilogue and stores included) and slice_w8_rows (activations to int8 slices).
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "axion/linear_w8.h"

namespace {

#if defined(__aarch64__)
const axion::LinearW8Kernels& kernels = axion::neon::linear_w8_kernels;
#else
const axion::LinearW8Kernels& kernels = axion::portable::linear_w8_kernels;
#endif

std::size_t number(const char* text) { return std::strtoul(text, nullptr, 10); }

void* aligned(std::size_t bytes) { return std::aligned_alloc(64, (bytes + 127) / 64 * 64); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s M N K bf16|f32\n", argv[0]);
    return 2;
  }
  const std::size_t m = number(argv[1]);
  const std::size_t n = number(argv[2]);
  const std::size_t k = number(argv[3]);
  const std::size_t panels = (n + kernels.panel_columns - 1) / kernels.panel_columns;
  const std::vector<axion::bf16> x(m * k, axion::bf16{0x3f80});
  const std::vector<axion::bf16> weight(n * k, axion::bf16{0x3f80});
  std::vector<float> y(m * n);
  void* packed = aligned(kernels.packed_bytes(n, k));
  void* scratch = aligned(kernels.scratch_bytes(m, k));
  kernels.pack_bf16({weight.data(), packed, n, k, k}, {0, panels});
  if (std::strcmp(argv[4], "f32") == 0) {
    kernels.linear_f32({x.data(), packed, nullptr, y.data(), scratch, n, k, k, n}, {0, m}, {0, panels});
  } else {
    auto* narrow = reinterpret_cast<axion::bf16*>(y.data());
    kernels.linear({x.data(), packed, nullptr, narrow, scratch, n, k, k, n}, {0, m}, {0, panels});
  }
  std::free(packed);
  std::free(scratch);
  return 0;
}
