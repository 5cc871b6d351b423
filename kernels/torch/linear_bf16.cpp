#include "axion/linear_bf16.h"

#include <torch/library.h>

#include "axion/dispatch.h"
#include "linear.h"
#include "partition.h"

namespace axion::bindings {
namespace {

int64_t packed_bf16_bytes(int64_t n, int64_t k) {
  return static_cast<int64_t>(
      kernels().linear_bf16.packed_bytes(static_cast<std::size_t>(n), static_cast<std::size_t>(k)));
}

at::Tensor pack_bf16(const at::Tensor& weight) {
  constexpr const char* op = "pack_bf16";
  check_dim(op, "weight", weight, 2);
  check_type(op, "weight", weight, at::kBFloat16);
  const at::Tensor rows = as_rows(op, "weight", weight);
  const LinearBf16Kernels& family = kernels().linear_bf16;
  const std::size_t n = extent(rows, 0);
  const std::size_t k = extent(rows, 1);
  at::Tensor packed = empty_packed(family.packed_bytes(n, k));
  const PackBf16 call{input<bf16>(rows), packed.mutable_data_ptr(), n, k, stride(rows, 0)};
  parallel_for(ceil_div(n, family.panel_columns), 1, [&](Range panels) { family.pack(call, panels); });
  return packed;
}

at::Tensor linear_bf16(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias, int64_t n) {
  constexpr const char* op = "linear_bf16";
  AXION_CHECK(n > 0, op, "n", "the rows of the weight", n);
  check_type(op, "x", x, at::kBFloat16);
  const at::Tensor rows = as_rows(op, "x", x);
  const LinearBf16Kernels& family = kernels().linear_bf16;
  const auto columns = static_cast<std::size_t>(n);
  check_packed(op, packed, family.packed_bytes(columns, extent(rows, 1)));
  const std::optional<at::Tensor> added = checked_bias(op, bias, x, n);
  at::Tensor y = empty_result(x, n);
  LinearBf16<bf16> call{input<bf16>(rows), packed.const_data_ptr(), added ? input<bf16>(*added) : nullptr,
                        output<bf16>(y),   nullptr,                 columns,
                        extent(rows, 1),   stride(rows, 0),         columns};
  parallel_tiles({0, extent(rows, 0)}, {0, ceil_div(columns, family.panel_columns)}, family.row_grain, family.panel_grain,
                 [&](Range part, Range panels) {
                   const Scratch scratch(
                       family.scratch_bytes(part.end - part.begin, panels.end - panels.begin, call.k));
                   LinearBf16<bf16> mine = call;
                   mine.scratch = scratch.get();
                   family.linear(mine, part, panels);
                 });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) {
  m.impl("pack_bf16", pack_bf16);
  m.impl("linear_bf16", linear_bf16);
}

TORCH_LIBRARY_IMPL(axion, CompositeExplicitAutograd, m) {
  m.impl("packed_bf16_bytes", packed_bf16_bytes);
}

}  // namespace axion::bindings
