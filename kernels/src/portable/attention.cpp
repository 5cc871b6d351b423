#include "axion/attention.h"

#include "attention_float.h"

namespace axion {
namespace {

struct PlainMultiply {
  static void four_rows(float* c, std::size_t c_stride, const float* a, std::size_t a_stride, const float* b,
                          std::size_t b_stride, std::size_t columns, std::size_t depth) {
    for (std::size_t j = 0; j < columns; j += 2 * kLanes) {
      Floats left[4];
      Floats right[4];
      for (std::size_t r = 0; r < 4; ++r) {
        left[r] = load(c + r * c_stride + j);
        right[r] = load(c + r * c_stride + j + kLanes);
      }
      for (std::size_t k = 0; k < depth; ++k) {
        const Floats b_left = load(b + k * b_stride + j);
        const Floats b_right = load(b + k * b_stride + j + kLanes);
        for (std::size_t r = 0; r < 4; ++r) {
          left[r] += b_left * a[r * a_stride + k];
          right[r] += b_right * a[r * a_stride + k];
        }
      }
      for (std::size_t r = 0; r < 4; ++r) {
        store(c + r * c_stride + j, left[r]);
        store(c + r * c_stride + j + kLanes, right[r]);
      }
    }
  }
};

}  // namespace

std::size_t attention_worker_bytes() { return kWorkerBytes; }

namespace portable {
const AttentionKernels attention_kernels = {
    attend<FloatCore<float, PlainMultiply>, float>,
    attend<FloatCore<bf16, PlainMultiply>, bf16>,
};
}

}  // namespace axion
