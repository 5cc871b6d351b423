// One call of SwiGLU or GeGLU for the modelled benchmark:
// activation_gated ISA(portable|neon|sve2) OP(silu|gelu) TYPE(f32|bf16) SIZE
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "axion/dispatch.h"

int main(int argc, char** argv) {
  const axion::KernelTable* table = argc == 5 ? axion::find_kernels(argv[1]) : nullptr;
  if (table == nullptr) {
    std::fprintf(stderr, "usage: activation_gated ISA(portable|neon|sve2) OP(silu|gelu) TYPE(f32|bf16) SIZE\n");
    return 2;
  }
  const axion::ActivationKernels& k = table->activation;
  const bool silu = std::strcmp(argv[2], "silu") == 0;
  const std::size_t size = std::strtoull(argv[4], nullptr, 10);
  std::vector<float> x(2 * size), y(size);
  std::vector<axion::bf16> xb(2 * size), yb(size);
  for (std::size_t i = 0; i < 2 * size; ++i) {
    x[i] = static_cast<float>(i * 37 % 101) / 10.0f - 5.0f;
    xb[i] = axion::to_bf16(x[i]);
  }
  if (std::strcmp(argv[3], "f32") == 0) {
    const auto run = silu ? k.silu_and_mul_f32 : k.gelu_tanh_and_mul_f32;
    run({x.data(), y.data(), size, 2 * size, size}, {0, 1}, {0, size});
  } else {
    const auto run = silu ? k.silu_and_mul_bf16 : k.gelu_tanh_and_mul_bf16;
    run({xb.data(), yb.data(), size, 2 * size, size}, {0, 1}, {0, size});
  }
  std::printf("%g %g\n", static_cast<double>(y[0]), static_cast<double>(axion::to_float(yb[0])));
  return 0;
}
