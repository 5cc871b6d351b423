// A gate_up layer and its activation in one pass: what is between them never leaves a core's cache.
#include <torch/library.h>

#include "axion/activation.h"
#include "linear.h"
#include "linear_w4.h"

namespace axion::bindings {
namespace {

/// Of a thread's gates and factors: a part of a core's L2.
constexpr std::size_t kBlockBytes = 1 << 18;

template <typename T>
using Activation = void (*)(const GatedActivation<T>&, Range rows, Range columns);

/// Columns of the result, and the memory of the thread that computes them.
struct Block {
  Range columns;
  void* gated;  // rows of gates, then factors
  void* result;
  void* scratch;
};

/// Compute columns of the layer, from the first of a panel up to `end`, into y.
template <typename T>
void multiply(LinearW4<T> part, std::size_t panel, std::size_t end, T* y, std::size_t y_stride) {
  const std::size_t skipped = panel * kW4PanelColumns;
  part.packed += panel * w4_panel_bytes(part.k, w4_group(part.k, part.group_size));
  part.bias = part.bias != nullptr ? part.bias + skipped : nullptr;
  part.n = end - skipped;
  part.y = y;
  part.y_stride = y_stride;
  exact_steps<T>().linear(part, {0, w4_panels(part.n)});
}

/// chunk.y and its stride are not used: the result is y, of another type than the arithmetic's where that is float.
template <typename T, typename Out>
void run_block(LinearW4<T> chunk, const Block& block, Activation<T> activate, Out* y, std::size_t y_stride) {
  const std::size_t half = chunk.n / 2;
  const std::size_t width = block.columns.end - block.columns.begin;
  const std::size_t factor = half + block.columns.begin;
  const std::size_t shared = factor % kW4PanelColumns;
  T* gates = static_cast<T*>(block.gated);
  chunk.scratch = block.scratch;
  // Where the halves share a panel, the first columns of the factors' panel are not factors: the gates, which come
  // second, overwrite them. There are as many gates at least, as blocks begin with a panel.
  multiply(chunk, factor / kW4PanelColumns, half + block.columns.end, gates + width - shared, 2 * width);
  multiply(chunk, block.columns.begin / kW4PanelColumns, block.columns.end, gates, 2 * width);
  if constexpr (std::is_same_v<T, Out>) {
    activate({gates, y + block.columns.begin, width, 2 * width, y_stride}, {0, chunk.m}, {0, width});
  } else {
    T* result = static_cast<T*>(block.result);
    activate({gates, result, width, 2 * width, width}, {0, chunk.m}, {0, width});
    for (std::size_t r = 0; r < chunk.m; ++r) {
      for (std::size_t c = 0; c < width; ++c) {
        y[r * y_stride + block.columns.begin + c] = from_float<Out>(result[r * width + c]);
      }
    }
  }
}

template <typename T, typename Out>
void run(const LinearW4<T>& whole, Activation<T> activate, Out* y, std::size_t y_stride) {
  in_prepared_chunks(whole, exact_steps<T>(), [&](const LinearW4<T>& chunk, Range rows) {
    const std::size_t half = chunk.n / 2;
    const std::size_t panel_bytes = chunk.m * 2 * kW4PanelColumns * sizeof(T);
    const std::size_t most = std::max<std::size_t>(kBlockBytes / panel_bytes, 1);
    parallel_for(w4_panels(half), 1, [&](Range panels) {
      const std::size_t step = std::min(most, panels.end - panels.begin);
      const Scratch gated(step * panel_bytes);
      const Scratch result(std::is_same_v<T, Out> ? 0 : step * panel_bytes / 2);
      const Scratch scratch(kernels().linear_w4.scratch_size(chunk.m, chunk.k));
      for (std::size_t panel = panels.begin; panel < panels.end; panel += step) {
        const std::size_t end = std::min(panel + step, panels.end) * kW4PanelColumns;
        const Block block{{panel * kW4PanelColumns, std::min(end, half)}, gated.get(), result.get(), scratch.get()};
        run_block(chunk, block, activate, y + rows.begin * y_stride, y_stride);
      }
    });
  });
}

/// The activation's kernels of both types.
struct Activations {
  Activation<float> f32;
  Activation<bf16> bf16_variant;
};

at::Tensor gated(const char* op, const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias,
                 int64_t n, int64_t k, int64_t group_size, const Activations& activations) {
  AXION_CHECK(n % 2 == 0, op, "n", "an even number of columns, gates then factors", n);
  check_packed(op, packed, checked_w4_size(op, n, k, group_size));
  const at::Tensor rows = as_rows(op, "x", x);
  AXION_CHECK(rows.size(1) == k, op, "x", c10::str("k = ", k, " columns"), x.sizes());
  return with_type(op, "x", x, [&](auto zero) {
    using Out = decltype(zero);
    const std::optional<at::Tensor> added = checked_bias(op, bias, x, n);
    at::Tensor y = empty_result(x, n / 2);
    const auto call = [&](const at::Tensor& from, const std::optional<at::Tensor>& with, auto arithmetic) {
      using T = decltype(arithmetic);
      const LinearW4<T> whole{input<T>(from), input<std::uint8_t>(packed), with ? input<T>(*with) : nullptr, nullptr,
                              extent(from, 0), static_cast<std::size_t>(n), static_cast<std::size_t>(k),
                              static_cast<std::size_t>(group_size), stride(from, 0), 0, nullptr, nullptr};
      run(whole, variant<T>(activations.f32, activations.bf16_variant), output<Out>(y),
          static_cast<std::size_t>(n / 2));
    };
    if (rows.size(0) > static_cast<int64_t>(kW4FewRows)) {
      call(rows, added, Out{});  // in float it would take twice as long, with bfloat16 activations
    } else if (rows.size(0) > 0) {
      call(rows.to(at::kFloat), added ? std::optional(added->to(at::kFloat)) : std::nullopt, float{});
    }
    return y;
  });
}

at::Tensor linear_w4_silu_and_mul(const at::Tensor& x, const at::Tensor& packed, const std::optional<at::Tensor>& bias,
                                  int64_t n, int64_t k, int64_t group_size) {
  const ActivationKernels& family = kernels().activation;
  return gated("linear_w4_silu_and_mul", x, packed, bias, n, k, group_size,
               {family.silu_and_mul_f32, family.silu_and_mul_bf16});
}

at::Tensor linear_w4_gelu_tanh_and_mul(const at::Tensor& x, const at::Tensor& packed,
                                       const std::optional<at::Tensor>& bias, int64_t n, int64_t k,
                                       int64_t group_size) {
  const ActivationKernels& family = kernels().activation;
  return gated("linear_w4_gelu_tanh_and_mul", x, packed, bias, n, k, group_size,
               {family.gelu_tanh_and_mul_f32, family.gelu_tanh_and_mul_bf16});
}

}  // namespace

TORCH_LIBRARY_IMPL(axion, CPU, m) {
  m.impl("linear_w4_silu_and_mul", linear_w4_silu_and_mul);
  m.impl("linear_w4_gelu_tanh_and_mul", linear_w4_gelu_tanh_and_mul);
}

}  // namespace axion::bindings
