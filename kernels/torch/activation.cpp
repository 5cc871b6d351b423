#include "axion/activation.h"

#include <torch/library.h>

#include "axion/dispatch.h"
#include "linear.h"
#include "partition.h"

namespace axion::bindings {
namespace {

/// A multiple of every vector length, and enough columns to be worth a thread.
constexpr std::size_t kColumnBlock = 1024;

template <typename Choose>
at::Tensor gated(const char* op, const at::Tensor& x, const Choose& choose) {
  const at::Tensor rows = as_rows(op, "x", x);
  AXION_CHECK(rows.size(1) % 2 == 0, op, "x", "an even last dimension, gates then factors", x.sizes());
  return with_type(op, "x", x, [&](auto zero) {
    using T = decltype(zero);
    const std::size_t size = extent(rows, 1) / 2;
    at::Tensor y = empty_result(x, static_cast<int64_t>(size));
    const GatedActivation<T> call{input<T>(rows), output<T>(y), size, stride(rows, 0), size};
    const auto kernel = choose(zero);
    if (size <= kColumnBlock) {
      parallel_for(extent(rows, 0), rows_per_thread(size), [&](Range range) { kernel(call, range, {0, size}); });
      return y;
    }
    const std::size_t blocks = ceil_div(size, kColumnBlock);
    parallel_for(extent(rows, 0) * blocks, 2, [&](Range units) {
      for (std::size_t unit = units.begin; unit < units.end; ++unit) {
        const std::size_t row = unit / blocks;
        const std::size_t first = unit % blocks * kColumnBlock;
        kernel(call, {row, row + 1}, {first, std::min(first + kColumnBlock, size)});
      }
    });
    return y;
  });
}

at::Tensor silu_and_mul(const at::Tensor& x) {
  return gated("silu_and_mul", x, [](auto zero) {
    const ActivationKernels& family = kernels().activation;
    return variant<decltype(zero)>(family.silu_and_mul_f32, family.silu_and_mul_bf16);
  });
}

at::Tensor gelu_tanh_and_mul(const at::Tensor& x) {
  return gated("gelu_tanh_and_mul", x, [](auto zero) {
    const ActivationKernels& family = kernels().activation;
    return variant<decltype(zero)>(family.gelu_tanh_and_mul_f32, family.gelu_tanh_and_mul_bf16);
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) {
  m.impl("silu_and_mul", silu_and_mul);
  m.impl("gelu_tanh_and_mul", gelu_tanh_and_mul);
}

}  // namespace axion::bindings
