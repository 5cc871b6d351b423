#include <algorithm>

#include "linear_bf16_tile.h"

namespace axion::neon {
namespace {

// The rows of a block times its part of k are packed once for all panels: 512 KiB, a quarter of L2. The sums that wait
// for the next part of k take 384 KiB more. A panel's part of k is 24 KiB, so that it stays in L1 for all row tiles.
constexpr std::size_t kRowBlock = 256;
constexpr std::size_t kDepthBlock = 1024;
constexpr std::size_t kPanelBlock = 32;
static_assert(kRowBlock % kTileRows == 0 && kDepthBlock % kBlock == 0, "blocks are made of whole tiles");

std::size_t packed_bytes(std::size_t n, std::size_t k) {
  return (n + kColumns - 1) / kColumns * panel_elements(k) * sizeof(bf16);
}

void pack(const PackBf16& args, Range panels) {
  for (std::size_t panel = panels.begin; panel < panels.end; ++panel) {
    const std::size_t first = panel * kColumns;
    pack_bf16_pairs(args.weight + first * args.weight_stride, args.weight_stride, std::min(kColumns, args.n - first),
                    kColumnPairs, Range{0, args.k},
                    static_cast<std::uint16_t*>(args.packed) + panel * panel_elements(args.k));
  }
}

std::size_t round_up(std::size_t value, std::size_t to) { return (value + to - 1) / to * to; }

/// Elements of the packed rows of a block: all of k for one tile of rows, else a part of it.
std::size_t rows_elements(std::size_t rows, std::size_t k) {
  return rows <= kTileRows ? round_up(rows, 2) * round_up(k, kBlock)
                           : round_up(std::min(rows, kRowBlock), 2) * std::min(round_up(k, kBlock), kDepthBlock);
}

std::size_t scratch_bytes(std::size_t rows, std::size_t panels, std::size_t k) {
  const bool in_parts = rows > kTileRows && k > kDepthBlock;
  const std::size_t tiles = round_up(std::min(rows, kRowBlock), kTileRows) / kTileRows * std::min(panels, kPanelBlock);
  return round_up(rows_elements(rows, k) * sizeof(bf16), 64) + (in_parts ? tiles * kPartialFloats * sizeof(float) : 0);
}

std::size_t columns_of(std::size_t n, std::size_t panel) { return std::min(kColumns, n - panel * kColumns); }

template <typename Out>
void panel_bias_of(const LinearBf16<Out>& args, std::size_t panel, float (&pairs)[kBiasFloats]) {
  panel_bias(args.bias != nullptr ? args.bias + panel * kColumns : nullptr, columns_of(args.n, panel), pairs);
}

template <typename Out>
Target<Out> target_of(const LinearBf16<Out>& args, std::size_t row, std::size_t rows, std::size_t panel) {
  return {args.y + row * args.y_stride + panel * kColumns, args.y_stride, rows, columns_of(args.n, panel)};
}

/// One tile of rows against Panels panels, all of k at once: M = 1 to 8, where the weight is read once from memory.
template <std::size_t Pairs, std::size_t Panels, typename Out>
AXION_INLINE void few_rows_tile(const LinearBf16<Out>& args, Range rows, std::size_t panel) {
  const std::size_t step = panel_elements(args.k);
  float bias[Panels][kBiasFloats];
  for (std::size_t i = 0; i < Panels; ++i) {
    panel_bias_of(args, panel + i, bias[i]);
  }
  Accumulators<Pairs, Panels> tile;
  tile.start({bias[0], nullptr, false, true});
  const auto* columns = static_cast<const std::uint16_t*>(args.packed) + panel * step;
  tile.add(static_cast<const std::uint16_t*>(args.scratch), columns, step, blocks_of(args.k));
  for (std::size_t i = 0; i < Panels; ++i) {
    finish_tile(tile.sum[i], target_of(args, rows.begin, rows.end - rows.begin, panel + i));
  }
}

/// Panels is what gives one and two pairs of rows the accumulators to hide BFMMLA's latency.
template <std::size_t Pairs, std::size_t Panels, typename Out>
__attribute__((noinline)) void few_rows(const LinearBf16<Out>& args, Range rows, Range panels) {
  std::size_t panel = panels.begin;
  for (; panel + Panels <= panels.end; panel += Panels) {
    few_rows_tile<Pairs, Panels>(args, rows, panel);
  }
  for (; panel < panels.end; ++panel) {
    few_rows_tile<Pairs, 1>(args, rows, panel);
  }
}

/// A part of k: the packed rows of the block, and where the sums of its tiles wait for the next part.
struct Part {
  Range rows;
  Range depth;
  const std::uint16_t* packed_rows;
  float* sums;
  bool resume;
  bool finish;
};

// Inlined so that the end of a tile and the beginning of the next overlap in one instruction stream.
template <std::size_t Pairs, typename Out>
AXION_INLINE void part_tile(const LinearBf16<Out>& args, const Part& part, std::size_t row, std::size_t panel,
                            const Partial& partial) {
  const std::size_t depth = part.depth.end - part.depth.begin;
  const std::uint16_t* b = static_cast<const std::uint16_t*>(args.packed) + panel * panel_elements(args.k) +
                           panel_elements(part.depth.begin);
  Accumulators<Pairs, 1> tile;
  tile.start(partial);
  tile.add(part.packed_rows + (row - part.rows.begin) * round_up(depth, kBlock), b, 0, blocks_of(depth));
  if (partial.finish) {
    finish_tile(tile.sum[0], target_of(args, row, std::min(2 * Pairs, part.rows.end - row), panel));
  } else {
    tile.suspend(partial.sums);
  }
}

/// All row tiles of a block against one panel.
template <typename Out>
__attribute__((noinline)) void part_panel(const LinearBf16<Out>& args, const Part& part, std::size_t panel,
                                          float* sums) {
  float bias[kBiasFloats];
  panel_bias_of(args, panel, bias);
  static_assert(kTilePairs == 4, "one case for each number of pairs that a tile can have");
  for (std::size_t row = part.rows.begin; row < part.rows.end; row += kTileRows, sums += kPartialFloats) {
    const Partial partial{bias, sums, part.resume, part.finish};
    switch ((std::min(kTileRows, part.rows.end - row) + 1) / 2) {
      case 4: part_tile<4>(args, part, row, panel, partial); break;
      case 3: part_tile<3>(args, part, row, panel, partial); break;
      case 2: part_tile<2>(args, part, row, panel, partial); break;
      default: part_tile<1>(args, part, row, panel, partial); break;
    }
  }
}

/// Rows of a block, by tiles; each tile is contiguous.
template <typename Out>
void pack_part(const LinearBf16<Out>& args, Range rows, Range depth, std::uint16_t* packed) {
  const std::size_t stride = round_up(depth.end - depth.begin, kBlock);
  for (std::size_t row = rows.begin; row < rows.end; row += kTileRows) {
    const std::size_t count = std::min(kTileRows, rows.end - row);
    pack_bf16_pairs(args.x + row * args.x_stride, args.x_stride, count, (count + 1) / 2, depth,
                    packed + (row - rows.begin) * stride);
  }
}

template <typename Out>
void many_rows(const LinearBf16<Out>& args, Range rows, Range panels) {
  auto* packed_rows = static_cast<std::uint16_t*>(args.scratch);
  const std::size_t sums_at = round_up(rows_elements(rows.end - rows.begin, args.k) * sizeof(bf16), 64);
  auto* sums = reinterpret_cast<float*>(static_cast<char*>(args.scratch) + sums_at);
  for (std::size_t row = rows.begin; row < rows.end; row += kRowBlock) {
    const Range block{row, std::min(row + kRowBlock, rows.end)};
    const std::size_t tiles = (block.end - block.begin + kTileRows - 1) / kTileRows;
    // Only sums that wait limit how many panels the packed rows can serve.
    const std::size_t step = args.k > kDepthBlock ? kPanelBlock : panels.end - panels.begin;
    for (std::size_t first = panels.begin; first < panels.end; first += step) {
      const std::size_t last = std::min(first + step, panels.end);
      for (std::size_t k = 0; k < args.k; k += kDepthBlock) {
        const Range depth{k, std::min(k + kDepthBlock, args.k)};
        pack_part(args, block, depth, packed_rows);
        const Part part{block, depth, packed_rows, sums, k > 0, depth.end == args.k};
        for (std::size_t panel = first; panel < last; ++panel) {
          part_panel(args, part, panel, sums + (panel - first) * tiles * kPartialFloats);
        }
      }
    }
  }
}

template <typename Out>
void linear(const LinearBf16<Out>& args, Range rows, Range panels) {
  const std::size_t count = rows.end - rows.begin;
  if (count > kTileRows) {
    return many_rows(args, rows, panels);
  }
  const std::size_t pairs = (count + 1) / 2;
  pack_bf16_pairs(args.x + rows.begin * args.x_stride, args.x_stride, count, pairs, Range{0, args.k},
                  static_cast<std::uint16_t*>(args.scratch));
  switch (pairs) {
    case 1: return few_rows<1, 2>(args, rows, panels);
    case 2: return few_rows<2, 2>(args, rows, panels);
    case 3: return few_rows<3, 1>(args, rows, panels);
    case 4: return few_rows<4, 1>(args, rows, panels);
    default: return;
  }
}

}  // namespace

const LinearBf16Kernels linear_bf16_kernels = {
    kColumns, 2, kTileRows, packed_bytes, scratch_bytes, pack, linear<bf16>, linear<float>,
};

}  // namespace axion::neon
