#include "axion/rotary.h"

#include <ATen/ops/aminmax.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "arguments.h"
#include "axion/dispatch.h"
#include "partition.h"

namespace axion::bindings {
namespace {

constexpr const char* op = "rotary_embedding";

template <typename T, typename C>
auto kernel_of() {
  const RotaryKernels& family = kernels().rotary;
  if constexpr (std::is_same_v<T, float>) {
    return variant<C>(family.rotary_f32_f32, family.rotary_f32_bf16);
  } else {
    return variant<C>(family.rotary_bf16_f32, family.rotary_bf16_bf16);
  }
}

/// [tokens, heads * head_size], whatever the dimensions it came with: vLLM has [tokens, n] and [tokens, heads, head_size].
at::Tensor by_token(const char* argument, const at::Tensor& heads, int64_t tokens, int64_t head_size) {
  AXION_CHECK(tokens == 0 || heads.numel() % (tokens * head_size) == 0, op, argument,
              c10::str("whole heads of ", head_size, " for each of ", tokens, " positions"), heads.sizes());
  AXION_CHECK(heads.dim() >= 2, op, argument, "at least 2 dimensions", heads.sizes());
  if (heads.dim() == 2 && heads.stride(1) == 1 && heads.size(0) == tokens) {
    return heads;
  }
  return heads.contiguous().view({tokens, tokens == 0 ? 0 : heads.numel() / tokens});
}

void check_arguments(const at::Tensor& positions, const at::Tensor& query, const at::Tensor& key, int64_t head_size,
                     const at::Tensor& cache) {
  check_type(op, "positions", positions, at::kLong);
  check_cpu(op, "query", query);
  check_type(op, "key", key, query.scalar_type());
  AXION_CHECK(head_size > 0, op, "head_size", "a positive number", head_size);
  check_dim(op, "cos_sin_cache", cache, 2);
  AXION_CHECK(cache.size(1) % 2 == 0 && cache.size(1) <= head_size, op, "cos_sin_cache",
              c10::str("an even width of at most head_size = ", head_size), cache.sizes());
  if (positions.numel() > 0) {
    // The kernel trusts positions; one beyond the table would read someone else's memory.
    const auto [least, greatest] = at::aminmax(positions);
    const int64_t low = *least.const_data_ptr<int64_t>();
    const int64_t high = *greatest.const_data_ptr<int64_t>();
    AXION_CHECK(low >= 0 && high < cache.size(0), op, "positions", c10::str("values of 0 to ", cache.size(0) - 1),
                (low < 0 ? low : high));
  }
}

std::tuple<at::Tensor, at::Tensor> rotary_embedding(const at::Tensor& positions, const at::Tensor& query,
                                                    const at::Tensor& key, int64_t head_size,
                                                    const at::Tensor& cos_sin_cache, bool is_neox) {
  check_arguments(positions, query, key, head_size, cos_sin_cache);
  const int64_t tokens = positions.numel();
  const at::Tensor where = positions.contiguous();
  const at::Tensor cache = cos_sin_cache.contiguous();
  const at::Tensor q = by_token("query", query, tokens, head_size);
  const at::Tensor k = by_token("key", key, tokens, head_size);
  at::Tensor q_out = at::empty(query.sizes(), query.options());
  at::Tensor k_out = at::empty(key.sizes(), key.options());
  with_type(op, "query", query, [&](auto zero) {
    with_type(op, "cos_sin_cache", cos_sin_cache, [&](auto cache_zero) {
      using T = decltype(zero);
      using C = decltype(cache_zero);
      const auto width = static_cast<std::size_t>(head_size);
      const Rotary<T, C> call{input<std::int64_t>(where), input<C>(cache), input<T>(q), input<T>(k), output<T>(q_out),
                              output<T>(k_out), extent(q, 1) / width, extent(k, 1) / width, width, extent(cache, 1),
                              stride(q, 0), stride(k, 0), extent(q, 1), extent(k, 1), is_neox};
      const std::size_t row = std::max<std::size_t>(1, extent(q, 1) + extent(k, 1));
      parallel_for(static_cast<std::size_t>(tokens), rows_per_thread(row), [&](Range range) { kernel_of<T, C>()(call, range); });
    });
  });
  return {q_out, k_out};
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) { m.impl("rotary_embedding", rotary_embedding); }

}  // namespace axion::bindings
