/// How an operator's work is cut for threads, and memory that one thread needs while it works.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "axion/parallel.h"

namespace axion::bindings {

/// Elements below which a thread costs more to wake than it saves.
constexpr std::size_t kElementsPerThread = 4096;

inline std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Rows to hand out together, for operators whose work is a few operations an element.
inline std::size_t rows_per_thread(std::size_t row_size) { return ceil_div(kElementsPerThread, row_size); }

/// Rows that a linear operator takes on at a time: a long prompt's activations, prepared, would be gigabytes otherwise,
/// and a thread's sums for them would fall out of its caches. Each such chunk reads the weight again, for 512 rows.
constexpr std::size_t kChunkRows = 512;

/// Call body(Range) on consecutive parts of [0, rows), each at most kChunkRows and a multiple of `block` but the last.
///
/// Parts are equal within a block, so none is short: calls of few rows are computed another way, with other bits.
template <typename Body>
void in_row_chunks(std::size_t rows, std::size_t block, const Body& body) {
  const std::size_t blocks = ceil_div(rows, block);
  const std::size_t chunks = ceil_div(rows, kChunkRows);
  for (std::size_t i = 0; i < chunks; ++i) {
    body(Range{blocks * i / chunks * block, std::min(blocks * (i + 1) / chunks * block, rows)});
  }
}

/// Uninitialised bytes, aligned to 64, for one call of a kernel.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes)
      : data_(std::aligned_alloc(64, ceil_div(std::max<std::size_t>(bytes, 1), 64) * 64)) {
    if (data_ == nullptr) {
      throw std::bad_alloc();
    }
  }
  void* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> data_;
};

/// Call body(rows, panels) so that together the calls cover all of both, on all threads.
///
/// Columns are split first: then each thread reads its part of the weight once. Rows are split too where there are
/// fewer panels than threads. Results do not depend on the split: the kernels promise that.
template <typename Body>
void parallel_tiles(Range rows, Range panels, std::size_t row_grain, std::size_t panel_grain, const Body& body) {
  const auto threads = max_threads();
  const std::size_t panel_units = ceil_div(panels.end, panel_grain);
  const std::size_t row_splits = std::min(ceil_div(rows.end, row_grain), ceil_div(threads, panel_units));
  const std::size_t rows_each = ceil_div(ceil_div(rows.end, row_splits), row_grain) * row_grain;
  const std::size_t row_units = ceil_div(rows.end, rows_each);
  parallel_for(row_units * panel_units, 1, [&](Range units) {
    for (std::size_t unit = units.begin; unit < units.end;) {
      const std::size_t row = unit / panel_units * rows_each;
      const std::size_t first = unit % panel_units;
      const std::size_t last = std::min(panel_units, first + (units.end - unit));
      body(Range{row, std::min(row + rows_each, rows.end)},
           Range{first * panel_grain, std::min(last * panel_grain, panels.end)});
      unit += last - first;
    }
  });
}

}  // namespace axion::bindings
