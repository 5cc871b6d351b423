/// Private to the attention units: which rows a unit of work has, which positions each of them sees, and the walk over
/// the keys. The arithmetic is a Core's, one for each ISA and type.
///
/// Anonymous: each ISA's unit compiles its own copy, with its own instructions.
#pragma once

#include <algorithm>
#include <cmath>

#include "axion/attention.h"

namespace axion {
namespace {

/// Keys taken at a time: with head_dim 128 their bf16 keys and values fill half of the 64 KiB L1.
constexpr std::size_t kKeys = 64;

/// The largest Core's scratch, with room to align. Constant, so that a caller can allocate before it knows the shape.
constexpr std::size_t kWorkerBytes = 256 * 1024;

/// [begin, end) of the positions that a row sees.
struct Visible {
  std::size_t begin;
  std::size_t end;
};

template <typename T>
struct Tile {
  const Attention<T>& a;
  std::size_t batch;
  std::size_t kv_head;
  std::size_t group;
  std::size_t first;
  std::size_t rows;

  Tile(const Attention<T>& attention, std::size_t unit) : a(attention), group(attention.heads / attention.kv_heads) {
    const std::size_t all_rows = a.q_len * group;
    const std::size_t tiles = (all_rows + kAttentionRows - 1) / kAttentionRows;
    first = unit % tiles * kAttentionRows;
    rows = std::min(kAttentionRows, all_rows - first);
    kv_head = unit / tiles % a.kv_heads;
    batch = unit / tiles / a.kv_heads;
  }

  template <typename Pointer>
  Pointer row_of(const Heads<Pointer>& heads, std::size_t row) const {
    const std::size_t head = kv_head * group + (first + row) % group;
    return heads.data + batch * heads.batch_stride + head * heads.head_stride + (first + row) / group * heads.row_stride;
  }
  const T* query(std::size_t row) const { return row_of(a.q, row); }
  T* result(std::size_t row) const { return row_of(a.out, row); }

  const T* key(std::size_t position) const { return position_of(a.k, position); }
  const T* value(std::size_t position) const { return position_of(a.v, position); }
  const T* position_of(const Heads<const T*>& heads, std::size_t position) const {
    return heads.data + batch * heads.batch_stride + kv_head * heads.head_stride + position * heads.row_stride;
  }

  Visible visible(std::size_t row) const {
    const auto kv_len = static_cast<std::ptrdiff_t>(a.kv_len);
    const auto behind = kv_len - static_cast<std::ptrdiff_t>(a.q_len);
    const std::ptrdiff_t position = behind + static_cast<std::ptrdiff_t>((first + row) / group);
    const std::ptrdiff_t end = a.causal ? std::clamp<std::ptrdiff_t>(position + 1, 0, kv_len) : kv_len;
    // A window as long as the sequence cuts nothing, and a longer one must not overflow the subtraction.
    const auto window = static_cast<std::ptrdiff_t>(std::min(a.window, a.kv_len + a.q_len));
    const std::ptrdiff_t begin = a.window == 0 ? 0 : std::clamp<std::ptrdiff_t>(position + 1 - window, 0, end);
    return {static_cast<std::size_t>(begin), static_cast<std::size_t>(end)};
  }

  /// The same, relative to a block of `count` keys from `key` on.
  Visible visible(std::size_t row, std::size_t key, std::size_t count) const {
    const Visible all = visible(row);
    const std::size_t begin = std::clamp(all.begin, key, key + count) - key;
    return {begin, std::max(begin, std::clamp(all.end, key, key + count) - key)};
  }
};

/// Each unit: Core(tile, scratch), then step(key, count) over the positions that any of its rows sees, then finish().
/// Rows are in order of position, so the first sees furthest back and the last furthest ahead.
template <typename Core, typename T>
void attend(const Attention<T>& attention, Range units, void* worker) {
  for (std::size_t unit = units.begin; unit < units.end; ++unit) {
    const Tile<T> tile(attention, unit);
    Core core(tile, worker);
    const std::size_t end = tile.visible(tile.rows - 1).end;
    for (std::size_t key = tile.visible(0).begin; key < end; key += kKeys) {
      core.step(key, std::min(kKeys, end - key));
    }
    core.finish();
  }
}

}  // namespace
}  // namespace axion
