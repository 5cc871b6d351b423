// Which kernel serves which number of rows.
#include "linear_w4_blocks.h"

namespace axion {
namespace neon {
namespace {

constexpr std::size_t kGemvPanels = 3;

std::size_t prepared_size(std::size_t m, std::size_t k) {
  if (m <= kW4RowBlock) {  // up to two steps a group; a group is at least 32
    const std::size_t steps = kStepsHeaderBytes + 2 * (k / 32) * step_bytes(m, 32);
    const std::size_t int8_block = kW4RowBlock * (k + sizeof(float));
    return steps > int8_block ? steps : int8_block;
  }
  return row_blocks(m) * kW4RowBlock * k * 2 * kSlices<float>;
}

std::size_t scratch_size(std::size_t m, std::size_t /*k*/) {
  return kScratchFixed + row_blocks(m) * kW4RowBlock * kW4PanelColumns * sizeof(float);
}

template <typename T>
void prepare(const LinearW4<T>& a, Range blocks) {
  if (a.m > kW4RowBlock) {
    w4_prepare_blocks(a, blocks);
  } else if (blocks.begin < blocks.end) {
    w4_prepare_steps(a);
  }
}

/// sums: [rows][kW4PanelColumns]
template <typename T>
void finish_panel(const LinearW4<T>& a, std::size_t panel, const float* sums) {
  const std::size_t columns = panel_columns(a.n, panel);
  const std::size_t first = panel * kW4PanelColumns;
  for (std::size_t r = 0; r < a.m; ++r) {
    for (std::size_t c = 0; c < columns; c += 4) {
      const T* bias = a.bias != nullptr ? a.bias + first + c : nullptr;
      finish4(a.y + r * a.y_stride + first + c, bias, vld1q_f32(sums + r * kW4PanelColumns + c), columns - c);
    }
  }
}

template <typename T>
void linear_few_rows(const LinearW4<T>& a, Range panels) {
  const std::size_t group = w4_group(a.k, a.group_size);
  const std::size_t panel_bytes = w4_panel_bytes(a.k, group);
  const auto* prepared = static_cast<const std::uint8_t*>(a.prepared);
  float* sums = static_cast<float*>(a.scratch);
  for (std::size_t p = panels.begin; p < panels.end;) {
    const std::uint8_t* packed = a.packed + p * panel_bytes;
    std::size_t done = 1;
    if (a.m > 1) {
      w4_rows_panel(packed, prepared, a.m, group, sums);
    } else if (panels.end - p >= kGemvPanels) {
      done = kGemvPanels;
      w4_gemv_three_panels(packed, prepared, a.k, group, sums);
    } else {
      w4_gemv_panel(packed, prepared, a.k, group, sums);
    }
    for (std::size_t i = 0; i < done; ++i) {
      finish_panel(a, p + i, sums + i * kW4PanelColumns);
    }
    p += done;
  }
}

template <typename T>
void linear_w4(const LinearW4<T>& a, Range panels) {
  if (a.m > kW4RowBlock) {
    w4_gemm(a, panels);
  } else {
    linear_few_rows(a, panels);
  }
}

}  // namespace

const LinearW4Kernels linear_w4_kernels = {
    prepared_size,   scratch_size,       prepare<float>,     prepare<bf16>,    linear_w4<float>,
    linear_w4<bf16>, w4a8_prepare<float>, w4a8_prepare<bf16>, w4a8_gemm<float>, w4a8_gemm<bf16>,
};

}  // namespace neon
}  // namespace axion
