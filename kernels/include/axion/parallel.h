/// The only threading in the library: OpenMP over a static split, so that results do not depend on thread count.
#pragma once

#include "axion/types.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace axion {

/// Call body(Range) on consecutive parts of [0, count), each a multiple of `grain` but the last.
///
/// A unit of work is computed by the same instructions wherever the split falls, so any number of threads gives the
/// same bits. Runs on the calling thread alone when there is one grain, or inside another parallel region.
template <typename Body>
void parallel_for(std::size_t count, std::size_t grain, const Body& body) {
  const std::size_t grains = (count + grain - 1) / grain;
#if defined(_OPENMP)
  if (grains > 1 && omp_get_max_threads() > 1 && !omp_in_parallel()) {
#pragma omp parallel
    {
      const auto threads = static_cast<std::size_t>(omp_get_num_threads());
      const auto thread = static_cast<std::size_t>(omp_get_thread_num());
      const std::size_t begin = grains * thread / threads * grain;
      const std::size_t end = grains * (thread + 1) / threads * grain;
      if (begin < count && begin < end) {
        body(Range{begin, end < count ? end : count});
      }
    }
    return;
  }
#endif
  if (count > 0) {
    body(Range{0, count});
  }
}

}  // namespace axion
