#include "linear_w4.h"

#include <torch/library.h>

#include "linear.h"

namespace axion::bindings {
namespace {

int64_t packed_w4_bytes(int64_t n, int64_t k, int64_t group_size) {
  return static_cast<int64_t>(checked_w4_size("packed_w4_bytes", n, k, group_size));
}

at::Tensor pack_w4(const at::Tensor& q, const at::Tensor& scales, const std::optional<at::Tensor>& zeros,
                   int64_t group_size) {
  constexpr const char* op = "pack_w4";
  check_type(op, "q", q, at::kByte);
  check_dim(op, "q", q, 2);
  AXION_CHECK(q.size(1) > 0 && q.size(1) % 32 == 0, op, "q", "columns in a multiple of 32", q.sizes());
  const std::size_t bytes = checked_w4_size(op, q.size(0), q.size(1), group_size);
  const int64_t groups = q.size(1) / group_size;
  check_type(op, "scales", scales, at::kFloat);
  AXION_CHECK(scales.sizes() == at::IntArrayRef({q.size(0), groups}), op, "scales",
              c10::str("shape [", q.size(0), ", ", groups, "]"), scales.sizes());
  if (zeros.has_value()) {
    check_like(op, "zeros", *zeros, q, {q.size(0), groups});
  }
  const at::Tensor values = q.contiguous();
  const at::Tensor factors = scales.contiguous();
  const at::Tensor points = zeros.has_value() ? zeros->contiguous() : at::Tensor();
  at::Tensor packed = empty_packed(bytes);
  const PackW4 call{input<std::uint8_t>(values),
                    input<float>(factors),
                    points.defined() ? input<std::uint8_t>(points) : nullptr,
                    output<std::uint8_t>(packed),
                    extent(q, 0),
                    extent(q, 1),
                    static_cast<std::size_t>(group_size)};
  parallel_for(w4_panels(call.n), 1, [&](Range panels) { axion::pack_w4(call, panels); });
  return packed;
}

template <typename T>
Steps<T> a8_steps() {
  const LinearW4Kernels& family = kernels().linear_w4;
  return {variant<T>(family.prepare_a8_f32, family.prepare_a8_bf16),
          [](std::size_t m, std::size_t /*k*/) { return w4_row_blocks(m); },
          variant<T>(family.linear_w4a8_f32, family.linear_w4a8_bf16)};
}

template <typename T>
void run(const LinearW4<T>& call, const Steps<T>& steps) {
  in_prepared_chunks(call, steps, [&](const LinearW4<T>& chunk, Range /*rows*/) {
    parallel_for(w4_panels(chunk.n), 1, [&](Range panels) {
      const Scratch scratch(kernels().linear_w4.scratch_size(chunk.m, chunk.k));
      LinearW4<T> mine = chunk;
      mine.scratch = scratch.get();
      steps.linear(mine, panels);
    });
  });
}

at::Tensor linear(const char* op, const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias,
                  int64_t n, int64_t k, int64_t group_size, bool a8) {
  check_packed(op, packed, checked_w4_size(op, n, k, group_size));
  const at::Tensor rows = as_rows(op, "x", x);
  AXION_CHECK(rows.size(1) == k, op, "x", c10::str("k = ", k, " columns"), x.sizes());
  return with_type(op, "x", x, [&](auto zero) {
    using T = decltype(zero);
    const std::optional<at::Tensor> added = checked_bias(op, bias, x, n);
    at::Tensor y = empty_result(x, n);
    if (rows.size(0) > 0) {
      run(LinearW4<T>{input<T>(rows), input<std::uint8_t>(packed), added ? input<T>(*added) : nullptr, output<T>(y),
                      extent(rows, 0), static_cast<std::size_t>(n), static_cast<std::size_t>(k),
                      static_cast<std::size_t>(group_size), stride(rows, 0), static_cast<std::size_t>(n), nullptr,
                      nullptr},
          a8 ? a8_steps<T>() : exact_steps<T>());
    }
    return y;
  });
}

at::Tensor linear_w4(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias, int64_t n,
                     int64_t k, int64_t group_size) {
  return linear("linear_w4", x, packed, bias, n, k, group_size, false);
}

at::Tensor linear_w4a8(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias, int64_t n,
                       int64_t k, int64_t group_size) {
  return linear("linear_w4a8", x, packed, bias, n, k, group_size, true);
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) {
  m.impl("pack_w4", pack_w4);
  m.impl("linear_w4", linear_w4);
  m.impl("linear_w4a8", linear_w4a8);
}

TORCH_LIBRARY_IMPL(axion, CompositeExplicitAutograd, m) { m.impl("packed_w4_bytes", packed_w4_bytes); }

}  // namespace axion::bindings
