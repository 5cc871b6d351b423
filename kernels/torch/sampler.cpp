#include "axion/sampler.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <optional>

#include "arguments.h"
#include "axion/dispatch.h"
#include "partition.h"

namespace axion::bindings {
namespace {

constexpr const char* op = "sample";

/// One value a row as contiguous T; integers of another width are converted, for callers differ in it.
at::Tensor per_row(const char* argument, const at::Tensor& values, int64_t batch, at::ScalarType type) {
  check_cpu(op, argument, values);
  AXION_CHECK(values.dim() == 1 && values.size(0) == batch, op, argument, c10::str("shape [", batch, "]"),
              values.sizes());
  const bool same_kind = c10::isIntegralType(values.scalar_type(), false) == c10::isIntegralType(type, false);
  AXION_CHECK(same_kind, op, argument, type, values.scalar_type());
  return values.to(type).contiguous();
}

std::optional<at::Tensor> per_row(const char* argument, const std::optional<at::Tensor>& values, int64_t batch,
                                  at::ScalarType type) {
  return values.has_value() ? std::optional(per_row(argument, *values, batch, type)) : std::nullopt;
}

template <typename T>
void run(const Sample<T>& call) {
  const SamplerKernels& family = kernels().sampler;
  const std::size_t units = sample_units(call.batch, call.vocab);
  const auto scan = variant<T>(family.scan_f32, family.scan_bf16);
  parallel_for(units, sample_scan_grain(units), [&](Range range) { scan(call, range); });
  if (sample_needs_mass(call)) {
    const auto mass = variant<T>(family.mass_f32, family.mass_bf16);
    parallel_for(units, kMassGrain, [&](Range range) { mass(call, range); });
  }
  const auto pick = variant<T>(family.pick_f32, family.pick_bf16);
  parallel_for(call.batch, kPickGrain, [&](Range range) {
    const Scratch worker(sample_worker_bytes(call.vocab));
    pick(call, range, worker.get());
  });
}

at::Tensor sample(const at::Tensor& logits, const at::Tensor& temperature, const std::optional<at::Tensor>& top_k,
                  const std::optional<at::Tensor>& top_p, const std::optional<at::Tensor>& min_p,
                  const at::Tensor& seeds) {
  check_dim(op, "logits", logits, 2);
  const at::Tensor rows = as_rows(op, "logits", logits);
  return with_type(op, "logits", logits, [&](auto zero) {
    using T = decltype(zero);
    const int64_t batch = rows.size(0);
    const at::Tensor temperatures = per_row("temperature", temperature, batch, at::kFloat);
    const std::optional<at::Tensor> k = per_row("top_k", top_k, batch, at::kInt);
    const std::optional<at::Tensor> p = per_row("top_p", top_p, batch, at::kFloat);
    const std::optional<at::Tensor> least = per_row("min_p", min_p, batch, at::kFloat);
    const at::Tensor random = per_row("seeds", seeds, batch, at::kLong);
    at::Tensor tokens = at::empty({batch}, rows.options().dtype(at::kLong));
    const Scratch scratch(sample_scratch_bytes(extent(rows, 0), extent(rows, 1)));
    run(Sample<T>{input<T>(rows), extent(rows, 0), extent(rows, 1), stride(rows, 0), input<float>(temperatures),
                  k ? input<std::int32_t>(*k) : nullptr, p ? input<float>(*p) : nullptr,
                  least ? input<float>(*least) : nullptr, input<std::uint64_t>(random), output<std::int64_t>(tokens),
                  scratch.get()});
    return tokens;
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) { m.impl("sample", sample); }

}  // namespace axion::bindings
