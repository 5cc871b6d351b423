#include "axion/linear_w8.h"

#include <torch/library.h>

#include "axion/dispatch.h"
#include "linear.h"
#include "partition.h"

namespace axion::bindings {
namespace {

int64_t packed_w8_bytes(int64_t n, int64_t k) {
  return static_cast<int64_t>(
      kernels().linear_w8.packed_bytes(static_cast<std::size_t>(n), static_cast<std::size_t>(k)));
}

at::Tensor pack_w8(const at::Tensor& weight) {
  constexpr const char* op = "pack_w8";
  check_dim(op, "weight", weight, 2);
  const at::Tensor rows = as_rows(op, "weight", weight);
  return with_type(op, "weight", weight, [&](auto zero) {
    using T = decltype(zero);
    const LinearW8Kernels& family = kernels().linear_w8;
    const std::size_t n = extent(rows, 0);
    const std::size_t k = extent(rows, 1);
    at::Tensor packed = empty_packed(family.packed_bytes(n, k));
    const PackW8<T> call{input<T>(rows), packed.mutable_data_ptr(), n, k, stride(rows, 0)};
    const auto kernel = variant<T>(family.pack_f32, family.pack_bf16);
    parallel_for(ceil_div(n, family.panel_columns), 1, [&](Range panels) { kernel(call, panels); });
    return packed;
  });
}

at::Tensor linear_w8(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias, int64_t n) {
  constexpr const char* op = "linear_w8";
  AXION_CHECK(n > 0, op, "n", "the rows of the weight", n);
  check_type(op, "x", x, at::kBFloat16);
  const at::Tensor rows = as_rows(op, "x", x);
  const LinearW8Kernels& family = kernels().linear_w8;
  const auto columns = static_cast<std::size_t>(n);
  check_packed(op, packed, family.packed_bytes(columns, extent(rows, 1)));
  const std::optional<at::Tensor> added = checked_bias(op, bias, x, n);
  at::Tensor y = empty_result(x, n);
  LinearW8<bf16> call{input<bf16>(rows), packed.const_data_ptr(), added ? input<bf16>(*added) : nullptr,
                      output<bf16>(y),   nullptr,                 columns,
                      extent(rows, 1),   stride(rows, 0),         columns};
  parallel_tiles({0, extent(rows, 0)}, {0, ceil_div(columns, family.panel_columns)}, family.row_grain, 1,
                 [&](Range part, Range panels) {
                   const Scratch scratch(family.scratch_bytes(part.end - part.begin, call.k));
                   LinearW8<bf16> mine = call;
                   mine.scratch = scratch.get();
                   family.linear(mine, part, panels);
                 });
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) {
  m.impl("pack_w8", pack_w8);
  m.impl("linear_w8", linear_w8);
}

TORCH_LIBRARY_IMPL(axion, CompositeExplicitAutograd, m) {
  m.impl("packed_w8_bytes", packed_w8_bytes);
}

}  // namespace axion::bindings
