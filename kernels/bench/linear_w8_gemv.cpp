// One linear_w8 of a given shape: `linear_w8_gemv M N K bf16|f32`. To model is the work of its inner functions:
// tile (4, 2 or 1 rows against a panel, epilogue and stores included) and slice_w8_rows (activations to int8 slices).
#include "axion/linear_w8.h"
#include "linear_call.h"

int main(int argc, char** argv) {
  const axion::LinearW8Kernels& kernels = axion::neon::linear_w8_kernels;
  return axion::call_linear(argc, argv, kernels, kernels.pack_bf16, [&](std::size_t m, std::size_t, std::size_t k) {
    return kernels.scratch_bytes(m, k);
  });
}
