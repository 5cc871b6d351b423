#include "axion/softmax.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <cmath>

#include "arguments.h"
#include "axion/dispatch.h"
#include "partition.h"

namespace axion::bindings {
namespace {

constexpr const char* op = "softmax";

at::Tensor softmax(const at::Tensor& x, double scale) {
  AXION_CHECK(scale >= std::ldexp(1.0, -60) && scale <= std::ldexp(1.0, 60), op, "scale", "2^-60 to 2^60", scale);
  const at::Tensor rows = as_rows(op, "x", x);
  return with_type(op, "x", x, [&](auto zero) {
    using T = decltype(zero);
    at::Tensor y = at::empty(x.sizes(), x.options());
    const std::size_t size = extent(rows, 1);
    const Softmax<T> call{input<T>(rows), output<T>(y), size, stride(rows, 0), size, static_cast<float>(scale)};
    parallel_for(extent(rows, 0), rows_per_thread(size), [&](Range range) {
      if constexpr (std::is_same_v<T, float>) {
        kernels().softmax.softmax_f32(call, range);
      } else {
        const Scratch scratch(softmax_bf16_scratch_size(size) * sizeof(float));
        kernels().softmax.softmax_bf16(call, range, static_cast<float*>(scratch.get()));
      }
    });
    return y;
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) { m.impl("softmax", softmax); }

}  // namespace axion::bindings
