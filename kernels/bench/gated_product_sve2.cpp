// gate * up with SVE2: see gated_product.h.
#include "../src/sve2/activation_row.h"
#include "gated_product.h"

namespace {

struct Same {
  svfloat32_t operator()(svbool_t, svfloat32_t gate) const { return gate; }
};

}  // namespace

int main(int argc, char** argv) {
  using namespace axion::sve2;
  return axion::gated_product(argc, argv, act_and_mul_row<Same, float>, act_and_mul_row<Same, axion::bf16>);
}
