#include "axion/attention.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "arguments.h"
#include "axion/dispatch.h"
#include "partition.h"

namespace axion::bindings {
namespace {

constexpr const char* op = "attention";

template <typename Pointer>
Heads<Pointer> heads(const at::Tensor& tensor, Pointer data) {
  return {data, stride(tensor, 0), stride(tensor, 1), stride(tensor, 2)};
}

/// [batch, heads, length, head_dim] with the last dimension contiguous.
at::Tensor checked(const char* argument, const at::Tensor& tensor, const at::Tensor& q) {
  check_dim(op, argument, tensor, 4);
  check_type(op, argument, tensor, q.scalar_type());
  return tensor.stride(3) == 1 ? tensor : tensor.contiguous();
}

void check_shapes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t window, double softcap) {
  AXION_CHECK(q.size(3) > 0 && extent(q, 3) <= kMaxHeadDim, op, "q", c10::str("a head dimension of 1 to ", kMaxHeadDim),
              q.sizes());
  AXION_CHECK(k.size(0) == q.size(0) && k.size(3) == q.size(3), op, "k", "the batch and head dimension of q", k.sizes());
  AXION_CHECK(k.size(1) > 0 && q.size(1) % k.size(1) == 0, op, "k",
              c10::str("a number of heads that divides the ", q.size(1), " of q"), k.sizes());
  AXION_CHECK(v.sizes() == k.sizes(), op, "v", c10::str("the shape of k, ", k.sizes()), v.sizes());
  AXION_CHECK(window >= 0, op, "window", "0 for none, or a number of positions", window);
  AXION_CHECK(softcap >= 0, op, "softcap", "0 for none, or a positive number", softcap);
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale, bool causal,
                     int64_t window, double softcap) {
  const at::Tensor queries = checked("q", q, q);
  const at::Tensor keys = checked("k", k, q);
  const at::Tensor values = checked("v", v, q);
  check_shapes(q, k, v, window, softcap);
  return with_type(op, "q", q, [&](auto zero) {
    using T = decltype(zero);
    at::Tensor out = at::empty(q.sizes(), q.options());
    const Attention<T> call{heads(queries, input<T>(queries)),
                            heads(keys, input<T>(keys)),
                            heads(values, input<T>(values)),
                            heads(out, output<T>(out)),
                            extent(q, 0),
                            extent(q, 1),
                            extent(k, 1),
                            extent(q, 2),
                            extent(k, 2),
                            extent(q, 3),
                            static_cast<float>(scale),
                            causal,
                            static_cast<std::size_t>(window),
                            static_cast<float>(softcap)};
    const auto kernel = variant<T>(kernels().attention.attention_f32, kernels().attention.attention_bf16);
    parallel_for(attention_units(call), 1, [&](Range units) {
      const Scratch worker(attention_worker_bytes());
      kernel(call, units, worker.get());
    });
    return out;
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) { m.impl("attention", attention); }

}  // namespace axion::bindings
