// One call of an RMSNorm for the modelled benchmark: norm_rms ISA(portable|neon|sve2) OP(f32|bf16|fused_bf16) SIZE
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "axion/dispatch.h"

namespace {

template <typename T>
std::vector<T> values(std::size_t count) {
  std::vector<T> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    result[i] = axion::from_float<T>(static_cast<float>(i * 37 % 101) / 50.0f - 1.0f);
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const axion::KernelTable* table = argc == 4 ? axion::find_kernels(argv[1]) : nullptr;
  if (table == nullptr) {
    std::fprintf(stderr, "usage: norm_rms ISA(portable|neon|sve2) OP(f32|bf16|fused_bf16) SIZE\n");
    return 2;
  }
  const axion::NormKernels& k = table->norm;
  const std::size_t size = std::strtoull(argv[3], nullptr, 10);
  const std::vector<float> x = values<float>(size);
  const std::vector<axion::bf16> xb = values<axion::bf16>(size);
  std::vector<float> y(size);
  std::vector<axion::bf16> yb(size), sum(size);
  if (std::strcmp(argv[2], "f32") == 0) {
    k.rms_norm_f32({x.data(), x.data(), y.data(), size, size, size, 1e-6f, false}, {0, 1});
  } else if (std::strcmp(argv[2], "bf16") == 0) {
    k.rms_norm_bf16({xb.data(), xb.data(), yb.data(), size, size, size, 1e-6f, false}, {0, 1});
  } else {
    k.fused_add_rms_norm_bf16({xb.data(), xb.data(), xb.data(), yb.data(), sum.data(), size, size, 1e-6f, false},
                              {0, 1});
  }
  std::printf("%g %g\n", static_cast<double>(y[size / 2]), static_cast<double>(axion::to_float(yb[size / 2])));
  return 0;
}
