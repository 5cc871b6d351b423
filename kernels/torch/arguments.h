/// Checks that name the operator and the argument, and views of tensors as the kernels' arguments.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <type_traits>

#include "axion/types.h"

/// `axion::rms_norm: weight: expected 64 elements, got [63]`.
#define AXION_CHECK(condition, op, argument, expected, got) \
  TORCH_CHECK(condition, "axion::", op, ": ", argument, ": expected ", expected, ", got ", got)

namespace axion::bindings {

inline void check_cpu(const char* op, const char* argument, const at::Tensor& tensor) {
  AXION_CHECK(tensor.device().is_cpu(), op, argument, "a CPU tensor", tensor.device());
}

inline void check_type(const char* op, const char* argument, const at::Tensor& tensor, at::ScalarType type) {
  check_cpu(op, argument, tensor);
  AXION_CHECK(tensor.scalar_type() == type, op, argument, type, tensor.scalar_type());
}

inline void check_dim(const char* op, const char* argument, const at::Tensor& tensor, int64_t dim) {
  AXION_CHECK(tensor.dim() == dim, op, argument, c10::str(dim, " dimensions"), tensor.sizes());
}

/// The same device and dtype as the operator's first argument, and exactly this shape.
inline void check_like(const char* op, const char* argument, const at::Tensor& tensor, const at::Tensor& first,
                       at::IntArrayRef shape) {
  check_type(op, argument, tensor, first.scalar_type());
  AXION_CHECK(tensor.sizes() == shape, op, argument, c10::str("shape ", shape), tensor.sizes());
}

/// Rows of contiguous elements: all dimensions but the last, flattened. Copies only where strides force it.
inline at::Tensor as_rows(const char* op, const char* argument, const at::Tensor& tensor) {
  check_cpu(op, argument, tensor);
  AXION_CHECK(tensor.dim() >= 1 && tensor.size(-1) > 0, op, argument, "a last dimension that is not empty",
              tensor.sizes());
  if (tensor.dim() == 2 && tensor.stride(1) == 1 && tensor.stride(0) >= 0) {
    return tensor;
  }
  const int64_t size = tensor.size(-1);
  return tensor.contiguous().view({tensor.numel() / size, size});
}

template <typename T>
const T* input(const at::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <typename T>
T* output(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

inline std::size_t extent(const at::Tensor& tensor, int64_t dim) { return static_cast<std::size_t>(tensor.size(dim)); }
inline std::size_t stride(const at::Tensor& tensor, int64_t dim) { return static_cast<std::size_t>(tensor.stride(dim)); }

/// Call body(T{}) with the kernels' element type of the tensor.
template <typename Body>
auto with_type(const char* op, const char* argument, const at::Tensor& tensor, const Body& body) {
  check_cpu(op, argument, tensor);
  AXION_CHECK(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16, op, argument,
              "Float or BFloat16", tensor.scalar_type());
  return tensor.scalar_type() == at::kFloat ? body(float{}) : body(bf16{});
}

/// The kernel of element type T, out of its two variants.
template <typename T, typename F32, typename Bf16>
auto variant(F32 f32, Bf16 bf16_variant) {
  if constexpr (std::is_same_v<T, float>) {
    return f32;
  } else {
    return bf16_variant;
  }
}

}  // namespace axion::bindings
