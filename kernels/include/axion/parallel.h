/// The only threading in the library: a static split, so that results do not depend on the number of threads.
#pragma once

#include "axion/types.h"

// Inside torch's process: libgomp's own functions, which are what `#pragma omp parallel` becomes with GCC. Declared here
// and found at run time in the libgomp that torch has loaded, they need no compiler's OpenMP: clang's would bring
// libomp, and two runtimes in one process fight over the cores.
#if defined(AXION_LIBGOMP)
extern "C" {
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);
int omp_get_max_threads() noexcept;
int omp_get_num_threads() noexcept;
int omp_get_thread_num() noexcept;
int omp_in_parallel() noexcept;
}
#endif

namespace axion {

/// Threads that parallel_for may use when it is called here.
inline std::size_t max_threads() {
#if defined(AXION_LIBGOMP)
  return static_cast<std::size_t>(omp_get_max_threads());
#else
  return 1;
#endif
}

/// Call body(Range) on consecutive parts of [0, count), each a multiple of `grain` but the last.
///
/// A unit of work is computed by the same instructions wherever the split falls, so any number of threads gives the
/// same bits. Runs on the calling thread alone when there is one grain, or inside another parallel region. An exception
/// that leaves `body` on another thread ends the process.
template <typename Body>
void parallel_for(std::size_t count, std::size_t grain, const Body& body) {
#if defined(AXION_LIBGOMP)
  struct Work {
    const Body& body;
    std::size_t count, grain, grains;

    static void run(void* data) {
      const Work& work = *static_cast<const Work*>(data);
      const auto threads = static_cast<std::size_t>(omp_get_num_threads());
      const auto thread = static_cast<std::size_t>(omp_get_thread_num());
      const std::size_t begin = work.grains * thread / threads * work.grain;
      const std::size_t end = work.grains * (thread + 1) / threads * work.grain;
      if (begin < work.count && begin < end) {
        work.body(Range{begin, end < work.count ? end : work.count});
      }
    }
  };
  const std::size_t grains = (count + grain - 1) / grain;
  if (grains > 1 && max_threads() > 1 && omp_in_parallel() == 0) {
    Work work{body, count, grain, grains};
    GOMP_parallel(Work::run, &work, 0, 0);  // as many threads as omp_get_max_threads() says
    return;
  }
#endif
  static_cast<void>(grain);
  if (count > 0) {
    body(Range{0, count});
  }
}

}  // namespace axion
