#include <algorithm>

#include "../linear_w8_scale.h"
#include "linear_w8_layout.h"

namespace axion::neon {
namespace {

/// One column of a panel: a block of 8 codes follows another's at kColumnPairs * kPairBlock bytes.
template <typename T>
void pack_column(const T* row, std::size_t k, float scale, std::int8_t* out) {
  for (std::size_t block = 0; block < blocks_of(k); ++block, out += kColumnPairs * kPairBlock) {
    const std::size_t first = block * kBlock;
    for (std::size_t i = 0; i < kBlock; ++i) {
      out[i] = row != nullptr && first + i < k ? quantized(to_float(row[first + i]), scale) : std::int8_t{0};
    }
  }
}

template <typename T>
void pack(const PackW8<T>& args, Range panels) {
  for (std::size_t panel = panels.begin; panel < panels.end; ++panel) {
    auto* out = static_cast<std::int8_t*>(args.packed) + panel * panel_bytes(args.k);
    auto* scales = reinterpret_cast<float*>(out);
    std::fill_n(scales, kScaleBytes / sizeof(float), 0.0f);
    for (std::size_t c = 0; c < kColumns; ++c) {
      const std::size_t column = panel * kColumns + c;
      const T* row = column < args.n ? args.weight + column * args.weight_stride : nullptr;
      scales[c] = row != nullptr ? row_scale(row, args.k) : 0.0f;
      pack_column(row, args.k, scales[c], out + kScaleBytes + c * kBlock);
    }
  }
}

}  // namespace

void pack_w8_f32(const PackW8<float>& args, Range panels) { pack(args, panels); }
void pack_w8_bf16(const PackW8<bf16>& args, Range panels) { pack(args, panels); }

}  // namespace axion::neon
