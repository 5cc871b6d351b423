// Which kernel serves which number of rows.
#include "linear_w4_blocks.h"

namespace axion {
namespace neon {
namespace {

constexpr std::size_t kGemvPanels = 3;

std::size_t prepared_size(std::size_t m, std::size_t k) {
  if (m <= kW4FewRows) {
    const std::size_t steps = m * row_steps_bytes(k);
    const std::size_t int8_blocks = w4_row_blocks(m) * kW4RowBlock * (k + sizeof(float));
    return steps > int8_blocks ? steps : int8_blocks;
  }
  return w4_row_blocks(m) * kW4RowBlock * k * 2 * kSlices<float>;
}

std::size_t scratch_size(std::size_t m, std::size_t /*k*/) {
  return kScratchFixed + w4_row_blocks(m) * kW4RowBlock * kW4PanelColumns * sizeof(float);
}

/// Call body with a call for each set of rows.
template <typename T, typename Body>
inline void in_row_sets(const LinearW4<T>& a, const Body& body) {
  LinearW4<T> set = a;
  for (std::size_t row = 0; row < a.m; row += set.m) {
    set.m = rows_together(a.m - row);
    set.x = a.x + row * a.x_stride;
    set.y = a.y + row * a.y_stride;
    set.prepared = static_cast<std::uint8_t*>(a.prepared) + row * row_steps_bytes(a.k);
    body(set);
  }
}

template <typename T>
void prepare(const LinearW4<T>& a, Range parts) {
  if (a.m > kW4FewRows) {
    w4_prepare_blocks(a, parts);
    return;
  }
  const std::size_t group = w4_group(a.k, a.group_size);
  const std::size_t end = parts.end * kW4PartK;
  const Range groups{parts.begin * kW4PartK / group, (end < a.k ? end : a.k) / group};
  in_row_sets(a, [&](const LinearW4<T>& set) { w4_prepare_steps(set, groups); });
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

/// One set of rows and `count` panels, 1 or kGemvPanels.
template <typename T>
void multiply_set(const LinearW4<T>& set, std::size_t panel, std::size_t count) {
  const std::size_t group = w4_group(set.k, set.group_size);
  const std::size_t panel_bytes = w4_panel_bytes(set.k, group);
  const std::uint8_t* packed = set.packed + panel * panel_bytes;
  const auto* prepared = static_cast<const std::uint8_t*>(set.prepared);
  float* sums = static_cast<float*>(set.scratch);
  if (set.m == 1 && count == kGemvPanels) {
    w4_gemv_three_panels(packed, prepared, set.k, group, sums);
  }
  for (std::size_t i = 0; i < count; ++i, packed += panel_bytes) {
    if (set.m > 1) {
      w4_rows_panel(packed, prepared, set.m, group, sums);
    } else if (count < kGemvPanels) {
      w4_gemv_panel(packed, prepared, set.k, group, sums);
    }
    finish_panel(set, panel + i, set.m > 1 ? sums : sums + i * kW4PanelColumns);
  }
}

template <typename T>
void linear_few_rows(const LinearW4<T>& a, Range panels) {
  for (std::size_t p = panels.begin; p < panels.end;) {
    const std::size_t count = panels.end - p >= kGemvPanels ? kGemvPanels : 1;
    in_row_sets(a, [&](const LinearW4<T>& set) { multiply_set(set, p, count); });
    p += count;
  }
}

template <typename T>
void linear_w4(const LinearW4<T>& a, Range panels) {
  if (a.m > kW4FewRows) {
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
