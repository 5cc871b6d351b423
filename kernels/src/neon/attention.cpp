#if !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#error "built with +bf16"
#endif
#include "axion/attention.h"

#include "../portable/attention_float.h"
#include "attention_core.h"
#include "attention_exp2.h"

namespace axion {

// Of the sve2 table as well.
void attention_f32_neon(const Attention<float>& attention, Range units, void* worker);
void attention_bf16_neon(const Attention<bf16>& attention, Range units, void* worker);

namespace {

struct FmlaMultiply {
  /// 4x8 tiles: 8 accumulators hide the latency of FMLA, and two loads feed eight of them.
  static void four_rows(float* c, std::size_t c_stride, const float* a, std::size_t a_stride, const float* b,
                        std::size_t b_stride, std::size_t columns, std::size_t depth) {
    for (std::size_t j = 0; j < columns; j += 8) {
      float32x4_t acc[4][2];
      for (std::size_t r = 0; r < 4; ++r) {
        acc[r][0] = vld1q_f32(c + r * c_stride + j);
        acc[r][1] = vld1q_f32(c + r * c_stride + j + 4);
      }
      for (std::size_t k = 0; k < depth; ++k) {
        const float32x4_t left = vld1q_f32(b + k * b_stride + j);
        const float32x4_t right = vld1q_f32(b + k * b_stride + j + 4);
        for (std::size_t r = 0; r < 4; ++r) {
          const float32x4_t factor = vld1q_dup_f32(a + r * a_stride + k);
          acc[r][0] = vfmaq_f32(acc[r][0], left, factor);
          acc[r][1] = vfmaq_f32(acc[r][1], right, factor);
        }
      }
      for (std::size_t r = 0; r < 4; ++r) {
        vst1q_f32(c + r * c_stride + j, acc[r][0]);
        vst1q_f32(c + r * c_stride + j + 4, acc[r][1]);
      }
    }
  }
};

}  // namespace

void attention_bf16_neon(const Attention<bf16>& attention, Range units, void* worker) {
  if (attention.head_dim % 8 != 0) {
    return attend<FloatCore<bf16, FmlaMultiply>>(attention, units, worker);
  }
  attend<Bf16Core<PolynomialExp2>>(attention, units, worker);
}

void attention_f32_neon(const Attention<float>& attention, Range units, void* worker) {
  attend<FloatCore<float, FmlaMultiply>>(attention, units, worker);
}

namespace neon {
const AttentionKernels attention_kernels = {attention_f32_neon, attention_bf16_neon};
}

}  // namespace axion
