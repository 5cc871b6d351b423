// The oracle-class implementation, also the one that x86 serves with: a group of a panel becomes floats once, in L1,
// and is used for all rows. Loops over the 8 columns are what the compiler vectorises.
#include <cmath>
#include <cstring>

#include "axion/linear_w4.h"

namespace axion {
namespace portable {
namespace {

constexpr std::size_t kColumns = kW4PanelColumns;
constexpr std::size_t kMaxGroup = 128;
constexpr std::size_t kRowTile = 4;  // times 8 columns: as many accumulators as SSE2 keeps in registers
constexpr float kA8Levels = 127.0f;

std::size_t padded_rows(std::size_t m) { return (m + kRowTile - 1) / kRowTile * kRowTile; }

/// Floats of x, rows padded to the tile, then one scale a row.
std::size_t prepared_size(std::size_t m, std::size_t k) { return padded_rows(m) * (k + 1) * sizeof(float); }

/// Sums of all rows for one panel.
std::size_t scratch_size(std::size_t m, std::size_t /*k*/) { return padded_rows(m) * kColumns * sizeof(float); }

/// Rows of `blocks` that exist, padding to the tile included with the last.
Range block_rows(Range blocks, std::size_t m) {
  const std::size_t end = blocks.end * kW4RowBlock;
  return {blocks.begin * kW4RowBlock, end < m ? end : padded_rows(m)};
}

template <typename T>
void widen(const LinearW4<T>& a, Range rows, Range columns) {
  float* out = static_cast<float*>(a.prepared);
  float* scales = out + padded_rows(a.m) * a.k;
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    if (columns.begin == 0) {
      scales[r] = 1.0f;
    }
    for (std::size_t i = columns.begin; i < columns.end; ++i) {
      out[r * a.k + i] = r < a.m ? to_float(a.x[r * a.x_stride + i]) : 0.0f;
    }
  }
}

template <typename T>
void prepare(const LinearW4<T>& a, Range parts) {
  if (a.m > kW4FewRows) {
    widen(a, block_rows(parts, a.m), {0, a.k});
  } else {
    const std::size_t end = parts.end * kW4PartK;
    widen(a, {0, padded_rows(a.m)}, {parts.begin * kW4PartK, end < a.k ? end : a.k});
  }
}

template <typename T>
void prepare_a8(const LinearW4<T>& a, Range blocks) {
  float* out = static_cast<float*>(a.prepared);
  float* scales = out + padded_rows(a.m) * a.k;
  const Range rows = block_rows(blocks, a.m);
  widen(a, rows, {0, a.k});
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    float* x = out + r * a.k;
    float largest = 0x1p-100f;
    bool finite = true;
    for (std::size_t i = 0; i < a.k; ++i) {
      largest = std::fmax(largest, std::fabs(x[i]));
      finite = finite && std::isfinite(x[i]);
    }
    scales[r] = finite ? largest / kA8Levels : NAN;
    const float inverse = kA8Levels / largest;
    for (std::size_t i = 0; i < a.k; ++i) {
      x[i] = finite ? std::nearbyint(x[i] * inverse) : 0.0f;
    }
  }
}

/// One group of a panel as floats, [group][8], without its scale.
void unpack_group(const std::uint8_t* packed, std::size_t group, float* scale, float (*weights)[kColumns]) {
  std::uint32_t words[kColumns];
  std::memcpy(words, packed, sizeof words);
  std::memcpy(scale, packed, sizeof words);
  const std::uint8_t* nibbles = packed + sizeof words;
  for (std::size_t i = 0; i < group; i += 16) {
    for (std::size_t c = 0; c < kColumns; ++c) {
      const std::uint8_t* half = nibbles + i * 4 + (c / 2) * 16 + (c % 2) * 8;
      const int zero = static_cast<int>(words[c] & 15u);
      for (std::size_t j = 0; j < 8; ++j) {
        weights[i + j][c] = static_cast<float>((half[j] >> 4) - zero);
        weights[i + 8 + j][c] = static_cast<float>((half[j] & 15) - zero);
      }
    }
  }
}

/// sums[r][c] += scale[c] * sum_k x[r][k] * weights[k][c] for a tile of rows. The weights are small integers here:
/// the scale, of any size, multiplies once a group.
void add_group(const float* x, std::size_t row_size, const float (*weights)[kColumns], std::size_t group,
               const float* scale, float* sums) {
  float acc[kRowTile][kColumns] = {};
  for (std::size_t i = 0; i < group; ++i) {
    for (std::size_t r = 0; r < kRowTile; ++r) {
      const float value = x[r * row_size + i];
      for (std::size_t c = 0; c < kColumns; ++c) {
        acc[r][c] += value * weights[i][c];
      }
    }
  }
  for (std::size_t r = 0; r < kRowTile; ++r) {
    for (std::size_t c = 0; c < kColumns; ++c) {
      sums[r * kColumns + c] += acc[r][c] * scale[c];
    }
  }
}

template <typename T>
void store_panel(const LinearW4<T>& a, std::size_t panel, const float* sums) {
  const float* row_scales = static_cast<const float*>(a.prepared) + padded_rows(a.m) * a.k;
  const std::size_t first = panel * kColumns;
  const std::size_t columns = a.n - first < kColumns ? a.n - first : kColumns;
  for (std::size_t r = 0; r < a.m; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      const float bias = a.bias != nullptr ? to_float(a.bias[first + c]) : 0.0f;
      a.y[r * a.y_stride + first + c] = from_float<T>(sums[r * kColumns + c] * row_scales[r] + bias);
    }
  }
}

template <typename T>
void linear_w4(const LinearW4<T>& a, Range panels) {
  const std::size_t group = w4_group(a.k, a.group_size);
  const std::size_t rows = padded_rows(a.m);
  const float* x = static_cast<const float*>(a.prepared);
  float* sums = static_cast<float*>(a.scratch);
  float weights[kMaxGroup][kColumns];
  float scale[kColumns];
  for (std::size_t p = panels.begin; p < panels.end; ++p) {
    const std::uint8_t* packed = a.packed + p * w4_panel_bytes(a.k, group);
    std::memset(sums, 0, rows * kColumns * sizeof(float));
    for (std::size_t g = 0; g < a.k / group; ++g) {
      unpack_group(packed + g * w4_group_bytes(group), group, scale, weights);
      for (std::size_t r = 0; r < rows; r += kRowTile) {
        add_group(x + r * a.k + g * group, a.k, weights, group, scale, sums + r * kColumns);
      }
    }
    store_panel(a, p, sums);
  }
}

}  // namespace

const LinearW4Kernels linear_w4_kernels = {
    prepared_size,     scratch_size,         prepare<float>,  prepare<bf16>,    linear_w4<float>,
    linear_w4<bf16>,   prepare_a8<float>,    prepare_a8<bf16>, linear_w4<float>, linear_w4<bf16>,
};

}  // namespace portable
}  // namespace axion
