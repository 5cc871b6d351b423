// More than kW4FewRows rows: a panel's weights become bf16 once per call, as the exact integers q - zero, and BFMMLA uses them
// for all rows. Scales enter by keeping the accumulators in units of the current group's scale: one multiplication by
// scale[g - 1] / scale[g] per accumulator and group, instead of a second set of accumulators in memory.
#include "linear_w4_unpack.h"

namespace axion {
namespace neon {
namespace {

inline bfloat16x8_t load_bf16(const std::uint8_t* at) {
  return vld1q_bf16(reinterpret_cast<const bfloat16_t*>(at));
}

/// One group of one tile. Unpacks: at each 16 k, also a word of the block ahead.
template <std::size_t Slices, std::size_t Pairs, bool Unpacks>
inline void multiply_group(const std::uint8_t* a, const std::uint8_t* b, std::size_t group, const Words& words,
                           Tile<Pairs>* tile) {
  Vectors rows(a);
  Vectors columns(b);
  for (std::size_t i = 0; i < group / 16; ++i) {
    Word word;
    if (Unpacks) {
      word = words.at(i);
    }
#pragma clang loop unroll(full)
    for (std::size_t j = 0; j < 4; ++j) {
      bfloat16x8_t column[4];
      for (std::size_t c = 0; c < 4; ++c) {
        column[c] = load_bf16(columns.at(j * 4 + c));
      }
      for (std::size_t s = 0; s < Slices; ++s) {
        for (std::size_t r = 0; r < Pairs; ++r) {
          const bfloat16x8_t row = load_bf16(rows.at((s * 4 + j) * Pairs + r));
          for (std::size_t c = 0; c < 4; ++c) {
            tile->acc[r][c] = vbfmmlaq_f32(tile->acc[r][c], row, column[c]);
          }
        }
      }
      if (Unpacks) {
        word.unpack(j);
      }
    }
    rows.advance(4 * Pairs * Slices);
    columns.advance(16);
  }
}

/// A block of k of a panel.
struct Block {
  std::size_t panel;
  std::size_t group;  // its first
  std::size_t count;
  std::size_t groups;  // of the panel

  static Block begin(std::size_t panel, std::size_t first, std::size_t groups, std::size_t most) {
    return {panel, first, groups - first < most ? groups - first : most, groups};
  }
  bool is_first() const { return group == 0; }
  bool is_last() const { return group + count == groups; }
  Block next(std::size_t most) const {
    return is_last() ? begin(panel + 1, 0, groups, most) : begin(panel, group + count, groups, most);
  }
};

/// A block of k of one tile.
template <typename T, std::size_t Pairs>
inline void multiply_block(const LinearW4<T>& a, std::size_t row, const Block& block, Unpacked b, float* sums,
                           Ahead* ahead) {
  const std::size_t group = ahead->group;
  const std::size_t group_bytes = group * 4 * Pairs * kSlices<T>;
  const std::uint8_t* rows =
      static_cast<const std::uint8_t*>(a.prepared) + row * a.k * 2 * kSlices<T> + block.group * group_bytes;
  float* const kept = sums + row * kW4PanelColumns;
  Tile<Pairs> tile;
  if (!block.is_first()) {
    load_tile(kept, &tile);
  }
  for (std::size_t g = 0; g < block.count; ++g) {
    if (g > 0 || !block.is_first()) {  // else the tile is zeros, in any unit
      scale_columns(b.factors + g * 16, &tile);
    }
    if (ahead->groups > 0) {
      multiply_group<kSlices<T>, Pairs, true>(rows, b.weights, group, ahead->words(), &tile);
      ahead->end_part();
    } else {
      multiply_group<kSlices<T>, Pairs, false>(rows, b.weights, group, {}, &tile);
    }
    rows += group_bytes;
    b.weights += group * 16;
  }
  if (block.is_last()) {
    scale_columns(b.last, &tile);
    finish_tile(a, row, block.panel, tile);
  } else {
    store_tile(kept, tile);
  }
}

}  // namespace

template <typename T>
void w4_gemm(const LinearW4<T>& a, Range panels) {
  const std::size_t group = w4_group(a.k, a.group_size);
  const std::size_t most = kBf16BlockK / group;
  const Scratch scratch(a.scratch);
  Ahead ahead;
  ahead.group = group;
  const auto unpack_ahead = [&](const Block& block, std::size_t buffer) {
    if (block.panel < panels.end) {
      const std::uint8_t* const packed = a.packed + block.panel * w4_panel_bytes(a.k, group);
      if (block.is_first()) {
        ahead.scales = begin_scales(packed, a.k, group);
      }
      ahead.begin(packed + block.group * w4_group_bytes(group), block.count, scratch.blocks[buffer], scratch.zeros);
    }
  };
  Block block = Block::begin(panels.begin, 0, a.k / group, most);
  unpack_ahead(block, 0);
  for (std::size_t buffer = 0; block.panel < panels.end; buffer = 1 - buffer) {
    ahead.finish();
    const Block next = block.next(most);
    unpack_ahead(next, 1 - buffer);
    const std::size_t blocks = w4_row_blocks(a.m);
    for (RowTile tile = row_tile(0, blocks); tile.row < a.m; tile = row_tile(tile.row + 2 * tile.pairs, blocks)) {
      if (tile.pairs == 6) {
        multiply_block<T, 6>(a, tile.row, block, scratch.blocks[buffer], scratch.sums, &ahead);
      } else {
        multiply_block<T, 4>(a, tile.row, block, scratch.blocks[buffer], scratch.sums, &ahead);
      }
    }
    block = next;
  }
}

template void w4_gemm(const LinearW4<float>&, Range);
template void w4_gemm(const LinearW4<bf16>&, Range);

}  // namespace neon
}  // namespace axion
