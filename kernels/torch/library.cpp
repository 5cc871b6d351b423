// The schemas, in one place. Each family's file registers its implementations for CPU tensors.
#include <torch/library.h>

#include <string>

#include "axion/dispatch.h"

TORCH_LIBRARY(axion, m) {
  m.def("isa() -> str", [] { return std::string(axion::kernels().isa); });

  m.def("rms_norm(Tensor x, Tensor weight, float eps, bool unit_offset=False) -> Tensor");
  m.def(
      "fused_add_rms_norm(Tensor x, Tensor residual, Tensor weight, float eps, bool unit_offset=False)"
      " -> (Tensor, Tensor)");
  m.def(
      "rotary_embedding(Tensor positions, Tensor query, Tensor key, int head_size, Tensor cos_sin_cache,"
      " bool is_neox=True) -> (Tensor, Tensor)");
  m.def("silu_and_mul(Tensor x) -> Tensor");
  m.def("gelu_tanh_and_mul(Tensor x) -> Tensor");
  m.def("softmax(Tensor x, float scale=1.0) -> Tensor");
  m.def(
      "attention(Tensor q, Tensor k, Tensor v, float scale, bool causal, int window=0, float softcap=0.0)"
      " -> Tensor");

  // packed_*_bytes: what the fake pack_* need; the size is the dispatched implementation's own.
  m.def("packed_bf16_bytes(int n, int k) -> int");
  m.def("pack_bf16(Tensor weight) -> Tensor");
  m.def("linear_bf16(Tensor x, Tensor packed, Tensor? bias, int n) -> Tensor");
  m.def("packed_w4_bytes(int n, int k, int group_size) -> int");
  m.def("pack_w4(Tensor q, Tensor scales, Tensor? zeros, int group_size) -> Tensor");
  m.def("linear_w4(Tensor x, Tensor packed, Tensor? bias, int n, int k, int group_size) -> Tensor");
  m.def("linear_w4a8(Tensor x, Tensor packed, Tensor? bias, int n, int k, int group_size) -> Tensor");
  // A gate_up layer with its activation: rows of the weight are the gates', then the factors'; the result has n / 2
  // columns. In calls of up to 16 rows what lies between stays in float; in larger ones it is rounded to x's type, with
  // the same bits as the two operators called one after the other.
  m.def("linear_w4_silu_and_mul(Tensor x, Tensor packed, Tensor? bias, int n, int k, int group_size) -> Tensor");
  m.def("linear_w4_gelu_tanh_and_mul(Tensor x, Tensor packed, Tensor? bias, int n, int k, int group_size) -> Tensor");
  m.def("packed_w8_bytes(int n, int k) -> int");
  m.def("pack_w8(Tensor weight) -> Tensor");
  m.def("linear_w8(Tensor x, Tensor packed, Tensor? bias, int n) -> Tensor");

  // vLLM's apply_penalties, in place; padding is any token outside the vocabulary.
  m.def(
      "penalize_(Tensor(a!) logits, Tensor prompts, Tensor outputs, Tensor presence, Tensor frequency,"
      " Tensor repetition) -> ()");
  m.def(
      "sample(Tensor logits, Tensor temperature, Tensor? top_k, Tensor? top_p, Tensor? min_p, Tensor seeds)"
      " -> Tensor");
}
