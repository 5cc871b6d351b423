#if !defined(__ARM_FEATURE_SVE2) || !defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#error "built with +sve2+bf16"
#endif
#include "axion/attention.h"

#include <arm_neon_sve_bridge.h>
#include <arm_sve.h>

#include "../neon/attention_core.h"

namespace axion {

// Both from the neon unit: float products gain nothing from SVE, nor do head sizes that BFMMLA cannot take.
void attention_f32_neon(const Attention<float>& attention, Range units, void* worker);
void attention_bf16_neon(const Attention<bf16>& attention, Range units, void* worker);

namespace {

/// 2^x from FEXPA, which gives 2^(i/64) times a power of two, and 1 + r ln 2 for the rest, |r| <= 1/128: 1.5e-5 off at
/// most. Works on the low 128 bits of a vector, so on any vector length.
struct FexpaExp2 {
  float32x4_t operator()(float32x4_t x) const {
    const float32x4_t shift = vdupq_n_f32(0x1.803f8p+17f);           // leaves 64 (n + 127) + i in the low bits
    const float32x4_t clamped = vmaxq_f32(x, vdupq_n_f32(-127.0f));  // FMAX: NaN stays NaN
    const float32x4_t shifted = vaddq_f32(clamped, shift);
    const float32x4_t r = vsubq_f32(clamped, vsubq_f32(shifted, shift));
    const svuint32_t index = svset_neonq_u32(svundef_u32(), vreinterpretq_u32_f32(shifted));
    const float32x4_t power = svget_neonq_f32(svexpa_f32(index));
    return vfmaq_f32(power, vmulq_n_f32(r, 0x1.62e43p-1f), power);
  }
};

void attention_bf16_sve2(const Attention<bf16>& attention, Range units, void* worker) {
  if (attention.head_dim % 8 != 0) {
    return attention_bf16_neon(attention, units, worker);
  }
  attend<Bf16Core<FexpaExp2>>(attention, units, worker);
}

}  // namespace

namespace sve2 {
const AttentionKernels attention_kernels = {attention_f32_neon, attention_bf16_sve2};
}

}  // namespace axion
