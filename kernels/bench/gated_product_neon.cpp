// One call of gate * up, the gated activations without their activation, for the modelled benchmark: what their loads,
// conversions, product and stores cost with NEON. gated_product_neon TYPE(f32|bf16) SIZE
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../src/neon/activation_row.h"

namespace axion::neon {
namespace {

struct Same {
  float32x4_t operator()(float32x4_t gate) const { return gate; }
};

template <typename T>
void run(std::size_t size) {
  const std::vector<T> x(2 * size, from_float<T>(1.5f));
  std::vector<T> y(size);
  act_and_mul_row<Same>(x.data(), x.data() + size, y.data(), size);
  std::printf("%g\n", static_cast<double>(to_float(y[size / 2])));
}

}  // namespace
}  // namespace axion::neon

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: gated_product_neon TYPE(f32|bf16) SIZE\n");
    return 2;
  }
  const std::size_t size = std::strtoull(argv[2], nullptr, 10);
  std::strcmp(argv[1], "f32") == 0 ? axion::neon::run<float>(size) : axion::neon::run<axion::bf16>(size);
  return 0;
}
