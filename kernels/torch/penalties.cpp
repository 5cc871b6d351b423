#include "axion/penalties.h"

#include <torch/library.h>

#include "arguments.h"
#include "partition.h"

namespace axion::bindings {
namespace {

constexpr const char* op = "penalize_";

TokenRows token_rows(const char* argument, const at::Tensor& tokens, int64_t batch) {
  check_type(op, argument, tokens, at::kLong);
  AXION_CHECK(tokens.dim() == 2 && tokens.size(0) == batch, op, argument, c10::str("shape [", batch, ", tokens]"),
              tokens.sizes());
  AXION_CHECK(tokens.size(1) <= 1 || tokens.stride(1) == 1, op, argument, "contiguous rows", tokens.strides());
  return {input<std::int64_t>(tokens), extent(tokens, 1), stride(tokens, 0)};
}

at::Tensor one_a_row(const char* argument, const at::Tensor& values, int64_t batch) {
  check_type(op, argument, values, at::kFloat);
  AXION_CHECK(values.dim() == 1 && values.size(0) == batch, op, argument, c10::str("shape [", batch, "]"),
              values.sizes());
  return values.contiguous();
}

void penalize_(const at::Tensor& logits, const at::Tensor& prompts, const at::Tensor& outputs,
               const at::Tensor& presence, const at::Tensor& frequency, const at::Tensor& repetition) {
  check_type(op, "logits", logits, at::kFloat);
  check_dim(op, "logits", logits, 2);
  AXION_CHECK(logits.size(1) > 0 && logits.stride(1) == 1, op, "logits", "contiguous rows", logits.strides());
  const int64_t batch = logits.size(0);
  const at::Tensor present = one_a_row("presence", presence, batch);
  const at::Tensor frequent = one_a_row("frequency", frequency, batch);
  const at::Tensor repeated = one_a_row("repetition", repetition, batch);
  const Penalties call{output<float>(logits), extent(logits, 0), extent(logits, 1), stride(logits, 0),
                       token_rows("prompts", prompts, batch), token_rows("outputs", outputs, batch),
                       input<float>(repeated), input<float>(frequent), input<float>(present)};
  const std::size_t tokens = call.prompts.size + call.outputs.size;
  parallel_for(call.batch, ceil_div(kPenaltyTokens, tokens + 1), [&](Range rows) {
    const Scratch worker(penalties_worker_bytes(call.vocab));
    apply_penalties(call, rows, worker.get());
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) { m.impl("penalize_", penalize_); }

}  // namespace axion::bindings
