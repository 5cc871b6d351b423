#include "axion/linear_bf16.h"

namespace axion::portable {
namespace {

// Two rows of 16 sums are eight SSE registers, half of what baseline x86-64 has.
constexpr std::size_t kColumns = 16;
constexpr std::size_t kRows = 2;

/// A panel is [k][kColumns]: what one element of x meets is contiguous.
const bf16* panel_of(const void* packed, std::size_t panel, std::size_t k) {
  return static_cast<const bf16*>(packed) + panel * k * kColumns;
}

std::size_t packed_bytes(std::size_t n, std::size_t k) {
  return (n + kColumns - 1) / kColumns * kColumns * k * sizeof(bf16);
}

std::size_t scratch_bytes(std::size_t, std::size_t, std::size_t) { return 0; }

void pack(const PackBf16& args, Range panels) {
  for (std::size_t panel = panels.begin; panel < panels.end; ++panel) {
    bf16* out = static_cast<bf16*>(args.packed) + panel * args.k * kColumns;
    for (std::size_t c = 0; c < kColumns; ++c) {
      const std::size_t column = panel * kColumns + c;
      for (std::size_t p = 0; p < args.k; ++p) {
        out[p * kColumns + c] = column < args.n ? args.weight[column * args.weight_stride + p] : bf16{0};
      }
    }
  }
}

/// Rows times one panel. Every sum runs over p in order, whatever Rows is: the bits do not depend on it.
template <std::size_t Rows, typename Out>
void tile(const LinearBf16<Out>& args, std::size_t row, std::size_t panel) {
  const bf16* x = args.x + row * args.x_stride;
  const bf16* w = panel_of(args.packed, panel, args.k);
  float sum[Rows][kColumns] = {};
  for (std::size_t p = 0; p < args.k; ++p) {
    float wide[kColumns];
    for (std::size_t c = 0; c < kColumns; ++c) {
      wide[c] = to_float(w[p * kColumns + c]);
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
      args.y[(row + r) * args.y_stride + first + c] = from_float<Out>(sum[r][c] + bias);
    }
  }
}

template <typename Out>
void linear(const LinearBf16<Out>& args, Range rows, Range panels) {
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

const LinearBf16Kernels linear_bf16_kernels = {
    kColumns, 1, kRows, packed_bytes, scratch_bytes, pack, linear<bf16>, linear<float>,
};

}  // namespace axion::portable
