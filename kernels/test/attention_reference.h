/// Attention in double, its error bound, and inputs whose buffers end at forbidden pages.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "axion/attention.h"
#include "guarded.h"
#include "reference.h"

namespace axion::test {

struct Shape {
  std::size_t batch = 1;
  std::size_t heads = 1;
  std::size_t kv_heads = 1;
  std::size_t q_len = 1;
  std::size_t kv_len = 1;
  std::size_t head_dim = 64;
  bool causal = true;
  std::size_t window = 0;
  float softcap = 0.0f;
  float scale = 0.0f;       // 0: head_dim^-0.5
  std::size_t row_gap = 0;  // elements between rows
};

inline std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << "batch " << s.batch << " heads " << s.heads << "/" << s.kv_heads << " q " << s.q_len << " kv " << s.kv_len
             << " dim " << s.head_dim << " causal " << s.causal << " window " << s.window << " softcap " << s.softcap;
}

template <typename T>
struct AttentionCalls;
template <>
struct AttentionCalls<float> {
  static void run(const AttentionKernels& k, const Attention<float>& a, Range r, void* w) { k.attention_f32(a, r, w); }
};
template <>
struct AttentionCalls<bf16> {
  static void run(const AttentionKernels& k, const Attention<bf16>& a, Range r, void* w) { k.attention_bf16(a, r, w); }
};

/// [batch, head, row] with rows row_gap apart; the last row ends at the forbidden page.
template <typename T>
struct Operand {
  std::size_t heads, rows, dim, stride;
  Guarded<T> data;

  Operand(std::size_t batch, std::size_t head_count, std::size_t row_count, const Shape& s, const std::vector<float>& values)
      : heads(head_count), rows(row_count), dim(s.head_dim), stride(s.head_dim + s.row_gap), data(rounded<T>(values)) {
    static_cast<void>(batch);
  }
  static std::size_t size(std::size_t batch, std::size_t heads, std::size_t rows, const Shape& s) {
    return batch * heads * rows == 0 ? 0 : (batch * heads * rows - 1) * (s.head_dim + s.row_gap) + s.head_dim;
  }
  template <typename Pointer>
  Heads<Pointer> view() {
    return {data.data(), heads * rows * stride, rows * stride, stride};
  }
  T* row(std::size_t b, std::size_t h, std::size_t i) { return data.data() + ((b * heads + h) * rows + i) * stride; }
};

template <typename T>
struct Case {
  Shape shape;
  Operand<T> q, k, v, out;
  Guarded<char> worker;

  explicit Case(const Shape& s, std::uint32_t seed = 1, double deviation = 1.0)
      : shape(s),
        q(s.batch, s.heads, s.q_len, s, normal_values(q.size(s.batch, s.heads, s.q_len, s), seed, deviation)),
        k(s.batch, s.kv_heads, s.kv_len, s, normal_values(q.size(s.batch, s.kv_heads, s.kv_len, s), seed + 1, deviation)),
        v(s.batch, s.kv_heads, s.kv_len, s, normal_values(q.size(s.batch, s.kv_heads, s.kv_len, s), seed + 2)),
        out(s.batch, s.heads, s.q_len, s, normal_values(q.size(s.batch, s.heads, s.q_len, s), seed + 3)),
        worker(attention_worker_bytes()) {}

  float scale() const {
    return shape.scale != 0.0f ? shape.scale : 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  }

  Attention<T> arguments() {
    return {q.template view<const T*>(), k.template view<const T*>(), v.template view<const T*>(), out.template view<T*>(),
            shape.batch, shape.heads, shape.kv_heads, shape.q_len, shape.kv_len, shape.head_dim, scale(), shape.causal,
            shape.window, shape.softcap};
  }

  void run(const AttentionKernels& kernels) {
    const Attention<T> a = arguments();
    AttentionCalls<T>::run(kernels, a, {0, attention_units(a)}, worker.data());
  }
};

/// One row's result in double, sum_j p_j |v_j|, and what attention.h promises for the error.
struct ReferenceRow {
  std::vector<double> out;
  std::vector<double> absolute;
  double relative_bound = 0.0;
  bool sees_any = false;
};

template <typename T>
ReferenceRow reference_row(Case<T>& c, std::size_t b, std::size_t h, std::size_t i, bool p_is_bf16) {
  const Shape& s = c.shape;
  const std::size_t kv_head = h / (s.heads / s.kv_heads);
  const auto position = static_cast<std::ptrdiff_t>(s.kv_len + i) - static_cast<std::ptrdiff_t>(s.q_len);
  std::vector<double> score(s.kv_len, -INFINITY);
  double max = -INFINITY;
  double magnitude = 0.0;
  std::size_t seen = 0;
  for (std::size_t j = 0; j < s.kv_len; ++j) {
    const auto at = static_cast<std::ptrdiff_t>(j);
    const auto window = static_cast<std::ptrdiff_t>(std::min<std::size_t>(s.window, 1u << 30));
    if ((s.causal && at > position) || (s.window > 0 && at <= position - window)) {
      continue;
    }
    double dot = 0.0;
    double absolute = 0.0;
    for (std::size_t d = 0; d < s.head_dim; ++d) {
      const double product = static_cast<double>(to_float(c.q.row(b, h, i)[d])) *
                             static_cast<double>(to_float(c.k.row(b, kv_head, j)[d]));
      dot += product;
      absolute += std::abs(product);
    }
    dot *= static_cast<double>(c.scale());
    const double cap = static_cast<double>(s.softcap);
    score[j] = cap > 0.0 ? cap * std::tanh(dot / cap) : dot;
    max = std::max(max, score[j]);
    magnitude = std::max(magnitude, absolute * static_cast<double>(c.scale()));
    ++seen;
  }
  ReferenceRow result{std::vector<double>(s.head_dim, 0.0), std::vector<double>(s.head_dim, 0.0), 0.0, seen > 0};
  double mass = 0.0;
  for (std::size_t j = 0; j < s.kv_len && seen > 0; ++j) {
    const double p = std::exp(score[j] - max);
    mass += p;
    for (std::size_t d = 0; d < s.head_dim && p > 0.0; ++d) {
      const double value = static_cast<double>(to_float(c.v.row(b, kv_head, j)[d]));
      result.out[d] += p * value;
      result.absolute[d] += p * std::abs(value);
    }
  }
  for (std::size_t d = 0; d < s.head_dim && seen > 0; ++d) {
    result.out[d] /= mass;
    result.absolute[d] /= mass;
  }
  const auto dim = static_cast<double>(s.head_dim);
  result.relative_bound = (2.0 * (dim + 8.0) * magnitude + 4.0 * static_cast<double>(s.softcap) + 64.0) * 0x1p-24 +
                          (static_cast<double>(seen) + 2.0) * 0x1p-23 + (p_is_bf16 ? 0x1p-8 + 0x1p-12 : 0.0);
  return result;
}

}  // namespace axion::test
