/// What the int4 operators share: the check of their sizes, and rows prepared for a pass over the weights.
#pragma once

#include "axion/linear_w4.h"

#include "arguments.h"
#include "axion/dispatch.h"
#include "partition.h"

namespace axion::bindings {

/// Bytes of the packed weights.
inline std::size_t checked_w4_size(const char* op, int64_t n, int64_t k, int64_t group_size) {
  AXION_CHECK(n > 0, op, "n", "the rows of the weight", n);
  AXION_CHECK(k > 0 && k % 32 == 0, op, "k", "a multiple of 32", k);
  AXION_CHECK(group_size > 0 && w4_group(static_cast<std::size_t>(k), static_cast<std::size_t>(group_size)) != 0, op,
              "group_size", c10::str("32, 64 or 128 dividing k, or k, with k ", k), group_size);
  return w4_packed_size(static_cast<std::size_t>(n), static_cast<std::size_t>(k), static_cast<std::size_t>(group_size));
}

/// The functions that one call uses, for activations of type T.
template <typename T>
struct Steps {
  void (*prepare)(const LinearW4<T>&, Range parts);
  std::size_t (*parts)(std::size_t m, std::size_t k);
  void (*linear)(const LinearW4<T>&, Range panels);
};

template <typename T>
Steps<T> exact_steps() {
  const LinearW4Kernels& family = kernels().linear_w4;
  return {variant<T>(family.prepare_f32, family.prepare_bf16), w4_parts,
          variant<T>(family.linear_w4_f32, family.linear_w4_bf16)};
}

/// Prepare the rows of `whole` chunk by chunk, each time calling body(chunk, rows): a call for these rows alone, ready
/// but for its scratch.
template <typename T, typename Body>
void in_prepared_chunks(const LinearW4<T>& whole, const Steps<T>& steps, const Body& body) {
  // Enough for every chunk: the size grows with the rows.
  const Scratch prepared(kernels().linear_w4.prepared_size(std::min(whole.m, kChunkRows), whole.k));
  in_row_chunks(whole.m, kW4RowBlock, [&](Range rows) {
    LinearW4<T> chunk = whole;
    chunk.m = rows.end - rows.begin;
    chunk.x += rows.begin * whole.x_stride;
    chunk.y += rows.begin * whole.y_stride;
    chunk.prepared = prepared.get();
    const std::size_t parts = steps.parts(chunk.m, chunk.k);
    const std::size_t grain = ceil_div(parts * kElementsPerThread, chunk.m * chunk.k);
    parallel_for(parts, grain, [&](Range some) { steps.prepare(chunk, some); });
    body(chunk, rows);
  });
}

}  // namespace axion::bindings
