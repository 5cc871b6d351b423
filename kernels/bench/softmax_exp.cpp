// One call of the exponential loop, or of a softmax, for the modelled benchmark:
// softmax_exp ISA(portable|neon|sve2) OP(exp|f32|bf16) SIZE [SCALE]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "axion/dispatch.h"

int main(int argc, char** argv) {
  const axion::KernelTable* table = argc >= 4 ? axion::find_kernels(argv[1]) : nullptr;
  if (table == nullptr) {
    std::fprintf(stderr, "usage: softmax_exp ISA(portable|neon|sve2) OP(exp|f32|bf16) SIZE [SCALE]\n");
    return 2;
  }
  const std::size_t size = std::strtoull(argv[3], nullptr, 10);
  const float scale = argc > 4 ? std::strtof(argv[4], nullptr) : 1.0f;
  std::vector<float> x(size), y(size);
  std::vector<axion::bf16> xb(size), yb(size);
  for (std::size_t i = 0; i < size; ++i) {
    x[i] = static_cast<float>(i * 37 % 101) / 10.0f - 10.0f;
    xb[i] = axion::to_bf16(x[i]);
  }
  if (std::strcmp(argv[2], "exp") == 0) {
    y[0] += table->softmax.shifted_exp_sum_f32(x.data(), y.data(), size, 0.1f);
  } else if (std::strcmp(argv[2], "f32") == 0) {
    table->softmax.softmax_f32({x.data(), y.data(), size, size, size, scale}, {0, 1});
  } else {
    table->softmax.softmax_bf16({xb.data(), yb.data(), size, size, size, scale}, {0, 1}, y.data());
  }
  std::printf("%g %g\n", static_cast<double>(y[0]), static_cast<double>(axion::to_float(yb[0])));
  return 0;
}
