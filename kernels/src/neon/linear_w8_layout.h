// The packed orders of linear_w8: the weight's, and that of the activations as int8 slices.
#pragma once

#include "axion/linear_w8.h"

namespace axion::neon {
namespace {

// SMMLA multiplies two rows of 8 int8 by two columns of 8. The two rows are the slices of one row of activations,
// q = 256 * high + low, so that one instruction serves two columns of the weight with 16-bit activations.
constexpr std::size_t kBlock = 8;
constexpr std::size_t kPairBlock = 2 * kBlock;  // bytes of one pair of columns, or of one row's slices, in a block
constexpr std::size_t kColumns = 24;            // 12 accumulators for one row: loads bind, three a cycle
constexpr std::size_t kColumnPairs = kColumns / 2;
constexpr std::size_t kGroupBlocks = 16;  // activations share a scale by 128, for whose sums int32 has room
constexpr std::size_t kGroup = kGroupBlocks * kBlock;
constexpr std::size_t kTileRows = 4;

constexpr std::size_t blocks_of(std::size_t k) { return (k + kBlock - 1) / kBlock; }
constexpr std::size_t groups_of(std::size_t k) { return (k + kGroup - 1) / kGroup; }

/// A panel is its columns' scales, filled up to whole lines, then blocks of [pairs][2 columns][8 codes].
constexpr std::size_t kScaleBytes = 128;
static_assert(kScaleBytes >= kColumns * sizeof(float) && kScaleBytes % 64 == 0, "codes start at a line");
constexpr std::size_t panel_bytes(std::size_t k) { return kScaleBytes + blocks_of(k) * kColumnPairs * kPairBlock; }

}  // namespace

/// One multiplication of a tile of rows with a group of the weight. A group takes one pass, or a second one with the
/// next 15 bits of those rows that need them, times zero for the others: a row's result does not depend on its tile.
struct W8Pass {
  std::size_t group;
  float scale[kTileRows];
};

/// The activations of a tile of rows: passes in the order of their groups, slices as [pass][block][row][2][8].
struct W8Rows {
  W8Pass* passes;
  std::int8_t* slices;
  std::size_t count;
};

namespace {

constexpr std::size_t pass_bytes(std::size_t rows) { return kGroupBlocks * rows * kPairBlock; }
constexpr std::size_t most_passes(std::size_t k) { return 2 * groups_of(k); }
/// Memory of the W8Rows of `rows` rows; whole lines.
constexpr std::size_t sliced_bytes(std::size_t rows, std::size_t k) {
  return most_passes(k) * pass_bytes(rows) + (most_passes(k) * sizeof(W8Pass) + 63) / 64 * 64;
}

}  // namespace

/// Slice `rows` rows of k elements, `stride` apart, into `memory`, of sliced_bytes(rows, k).
W8Rows slice_w8_rows(const bf16* x, std::size_t stride, std::size_t rows, std::size_t k, void* memory);

void pack_w8_f32(const PackW8<float>& args, Range panels);
void pack_w8_bf16(const PackW8<bf16>& args, Range panels);

}  // namespace axion::neon
