// gate * up with NEON: see gated_product.h.
#include "../src/neon/activation_row.h"
#include "gated_product.h"

namespace {

struct Same {
  float32x4_t operator()(float32x4_t gate) const { return gate; }
};

}  // namespace

int main(int argc, char** argv) {
  using namespace axion::neon;
  return axion::gated_product(argc, argv, act_and_mul_row<Same, float>, act_and_mul_row<Same, axion::bf16>);
}
