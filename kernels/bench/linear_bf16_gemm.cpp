// One linear_bf16 of a given shape: `linear_bf16_gemm M N K bf16|f32`. To model is the work of its inner functions:
// part_panel (M > 8: tiles, epilogue and stores of a panel), few_rows (M <= 8), pack_bf16_pairs (what packs x).
#include "axion/linear_bf16.h"
#include "linear_call.h"

int main(int argc, char** argv) {
  const axion::LinearBf16Kernels& kernels = axion::neon::linear_bf16_kernels;
  return axion::call_linear(argc, argv, kernels, kernels.pack, kernels.scratch_bytes);
}
