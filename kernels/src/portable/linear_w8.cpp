#include "axion/linear_w8.h"

#include "../linear_w8_scale.h"

namespace axion::portable {
namespace {

constexpr std::size_t kColumns = 16;
constexpr std::size_t kRows = 2;

/// A panel is the scales of its columns, then [k][kColumns] of int8.
std::size_t panel_bytes(std::size_t k) { return kColumns * (sizeof(float) + k); }

std::size_t packed_bytes(std::size_t n, std::size_t k) { return (n + kColumns - 1) / kColumns * panel_bytes(k); }

std::size_t scratch_bytes(std::size_t, std::size_t) { return 0; }

template <typename T>
void pack(const PackW8<T>& args, Range panels) {
  for (std::size_t panel = panels.begin; panel < panels.end; ++panel) {
    char* out = static_cast<char*>(args.packed) + panel * panel_bytes(args.k);
    auto* scales = reinterpret_cast<float*>(out);
    auto* codes = reinterpret_cast<std::int8_t*>(out + kColumns * sizeof(float));
    for (std::size_t c = 0; c < kColumns; ++c) {
      const std::size_t column = panel * kColumns + c;
      const T* row = column < args.n ? args.weight + column * args.weight_stride : nullptr;
      scales[c] = row != nullptr ? row_scale(row, args.k) : 0.0f;
      for (std::size_t p = 0; p < args.k; ++p) {
        codes[p * kColumns + c] = row != nullptr ? quantized(to_float(row[p]), scales[c]) : std::int8_t{0};
      }
    }
  }
}

/// Rows times one panel, x exactly as it is. Every sum runs over p in order, whatever Rows is.
template <std::size_t Rows, typename Out>
void tile(const LinearW8<Out>& args, std::size_t row, std::size_t panel) {
  const bf16* x = args.x + row * args.x_stride;
  const char* packed = static_cast<const char*>(args.packed) + panel * panel_bytes(args.k);
  const auto* scales = reinterpret_cast<const float*>(packed);
  const auto* codes = reinterpret_cast<const std::int8_t*>(packed + kColumns * sizeof(float));
  float sum[Rows][kColumns] = {};
  for (std::size_t p = 0; p < args.k; ++p) {
    float wide[kColumns];
    for (std::size_t c = 0; c < kColumns; ++c) {
      wide[c] = static_cast<float>(codes[p * kColumns + c]);
    }
    for (std::size_t r = 0; r < Rows; ++r) {
      const float a = to_float(x[r * args.x_stride + p]);
      for (std::size_t c = 0; c < kColumns; ++c) {
        sum[r][c] += a * wide[c];
      }
    }
  }
  const std::size_t first = panel * kColumns;
  for (std::size_t r = 0; r < Rows; ++r) {
    for (std::size_t c = 0; c < kColumns && first + c < args.n; ++c) {
      const float bias = args.bias != nullptr ? to_float(args.bias[first + c]) : 0.0f;
      args.y[(row + r) * args.y_stride + first + c] = from_float<Out>(sum[r][c] * scales[c] + bias);
    }
  }
}

template <typename Out>
void linear(const LinearW8<Out>& args, Range rows, Range panels) {
  for (std::size_t panel = panels.begin; panel < panels.end; ++panel) {
    std::size_t row = rows.begin;
    for (; row + kRows <= rows.end; row += kRows) {
      tile<kRows>(args, row, panel);
    }
    for (; row < rows.end; ++row) {
      tile<1>(args, row, panel);
    }
  }
}

}  // namespace

const LinearW8Kernels linear_w8_kernels = {
    kColumns, kRows, packed_bytes, scratch_bytes, pack<float>, pack<bf16>, linear<bf16>, linear<float>,
};

}  // namespace axion::portable
