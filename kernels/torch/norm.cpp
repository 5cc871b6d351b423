#include "axion/norm.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "arguments.h"
#include "axion/dispatch.h"
#include "partition.h"

namespace axion::bindings {
namespace {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, bool unit_offset) {
  constexpr const char* op = "rms_norm";
  const at::Tensor rows = as_rows(op, "x", x);
  return with_type(op, "x", x, [&](auto zero) {
    using T = decltype(zero);
    check_like(op, "weight", weight, x, {rows.size(1)});
    const at::Tensor scale = weight.contiguous();
    at::Tensor y = at::empty(x.sizes(), x.options());
    const RmsNorm<T> call{input<T>(rows), input<T>(scale),  output<T>(y),           extent(rows, 1),
                          stride(rows, 0), extent(rows, 1), static_cast<float>(eps), unit_offset};
    const auto kernel = variant<T>(kernels().norm.rms_norm_f32, kernels().norm.rms_norm_bf16);
    parallel_for(extent(rows, 0), rows_per_thread(call.size), [&](Range range) { kernel(call, range); });
    return y;
  });
}

std::tuple<at::Tensor, at::Tensor> fused_add_rms_norm(const at::Tensor& x, const at::Tensor& residual,
                                                      const at::Tensor& weight, double eps, bool unit_offset) {
  constexpr const char* op = "fused_add_rms_norm";
  // The kernel has one stride for all its operands.
  const at::Tensor rows = as_rows(op, "x", x.contiguous());
  return with_type(op, "x", x, [&](auto zero) {
    using T = decltype(zero);
    check_like(op, "residual", residual, x, x.sizes());
    check_like(op, "weight", weight, x, {rows.size(1)});
    const at::Tensor added = residual.contiguous();
    const at::Tensor scale = weight.contiguous();
    at::Tensor y = at::empty(x.sizes(), x.options());
    at::Tensor sum = at::empty(x.sizes(), x.options());
    const FusedAddRmsNorm<T> call{input<T>(rows),  input<T>(added),  input<T>(scale),          output<T>(y), output<T>(sum),
                                  extent(rows, 1), extent(rows, 1), static_cast<float>(eps), unit_offset};
    const auto kernel = variant<T>(kernels().norm.fused_add_rms_norm_f32, kernels().norm.fused_add_rms_norm_bf16);
    parallel_for(extent(rows, 0), rows_per_thread(call.size), [&](Range range) { kernel(call, range); });
    return std::tuple(y, sum);
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) {
  m.impl("rms_norm", rms_norm);
  m.impl("fused_add_rms_norm", fused_add_rms_norm);
}

}  // namespace axion::bindings
