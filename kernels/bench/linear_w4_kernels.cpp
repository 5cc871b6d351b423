// One call of a linear_w4 kernel on random weights, for the modelled benchmark:
//   linear_w4_kernels M N K GROUP w4|w4a8 [outliers|portable]
// Its symbols are w4_gemv_three_panels, w4_rows_panel, w4_gemm and w4a8_gemm in axion::neon, and the prepare functions.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "axion/linear_w4.h"

namespace {

constexpr std::size_t kAlignment = 64;

/// Aligned memory for the life of the process.
template <typename T>
T* buffer(std::size_t count) {
  const std::size_t bytes = (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, bytes);
  std::memset(memory, 0, bytes);
  return static_cast<T*>(memory);
}

std::uint8_t* packed_weights(std::size_t n, std::size_t k, std::size_t group, std::mt19937& random) {
  std::vector<std::uint8_t> q(n * k);
  std::vector<std::uint8_t> zeros(n * (k / group));
  std::vector<float> scales(zeros.size());
  for (std::uint8_t& value : q) {
    value = static_cast<std::uint8_t>(random() % 16);
  }
  for (std::size_t i = 0; i < zeros.size(); ++i) {
    zeros[i] = static_cast<std::uint8_t>(random() % 16);
    scales[i] = 0.01f + static_cast<float>(random() % 256) * 1e-5f;
  }
  std::uint8_t* packed = buffer<std::uint8_t>(axion::w4_packed_size(n, k, group));
  axion::pack_w4({q.data(), scales.data(), zeros.data(), packed, n, k, group}, {0, axion::w4_panels(n)});
  return packed;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: %s M N K GROUP w4|w4a8 [outliers|portable]\n", argv[0]);
    return 1;
  }
  const auto number = [&](int i) { return static_cast<std::size_t>(std::atol(argv[i])); };
  const std::size_t m = number(1), n = number(2), k = number(3), group = number(4);
  if (axion::w4_group(k, group) == 0) {
    std::fprintf(stderr, "K %zu and GROUP %zu do not fit\n", k, group);
    return 1;
  }
  const bool outliers = argc > 6 && std::strcmp(argv[6], "outliers") == 0;
  std::mt19937 random(1);
  axion::bf16* x = buffer<axion::bf16>(m * k);
  for (std::size_t i = 0; i < m * k; ++i) {
    const float value = static_cast<float>(random() % 2001) * 0.001f - 1.0f;
    x[i] = axion::to_bf16(outliers && i % 1000 == 0 ? 1e4f : value);
  }
#if defined(__aarch64__)
  const bool portable = argc > 6 && std::strcmp(argv[6], "portable") == 0;  // plain C++, the table's baseline
  const axion::LinearW4Kernels& kernels =
      portable ? axion::portable::linear_w4_kernels : axion::neon::linear_w4_kernels;
#else
  const axion::LinearW4Kernels& kernels = axion::portable::linear_w4_kernels;
#endif
  axion::bf16* y = buffer<axion::bf16>(m * n);
  const axion::LinearW4<axion::bf16> args = {x,
                                             packed_weights(n, k, group, random),
                                             nullptr,
                                             y,
                                             m,
                                             n,
                                             k,
                                             group,
                                             k,
                                             n,
                                             buffer<std::uint8_t>(kernels.prepared_size(m, k)),
                                             buffer<std::uint8_t>(kernels.scratch_size(m, k))};
  const bool a8 = std::strcmp(argv[5], "w4a8") == 0;
  const axion::Range parts{0, a8 ? axion::w4_row_blocks(m) : axion::w4_parts(m, k)};
  (a8 ? kernels.prepare_a8_bf16 : kernels.prepare_bf16)(args, parts);
  (a8 ? kernels.linear_w4a8_bf16 : kernels.linear_w4_bf16)(args, {0, axion::w4_panels(n)});
  std::printf("%.9g\n", static_cast<double>(axion::to_float(y[0])));
  return 0;
}
