/// What the three linear families share: one packed weight, rows of activations, a bias that may be missing.
#pragma once

#include <ATen/ops/empty.h>

#include <optional>

#include "arguments.h"

namespace axion::bindings {

inline at::Tensor empty_packed(std::size_t bytes) {
  return at::empty({static_cast<int64_t>(bytes)}, at::TensorOptions().dtype(at::kByte));
}

inline void check_packed(const char* op, const at::Tensor& packed, std::size_t bytes) {
  check_type(op, "packed", packed, at::kByte);
  AXION_CHECK(packed.dim() == 1 && packed.is_contiguous() && extent(packed, 0) == bytes, op, "packed",
              c10::str(bytes, " bytes, as this CPU's pack function returns for that n and k"), packed.sizes());
  AXION_CHECK(reinterpret_cast<std::uintptr_t>(packed.const_data_ptr()) % 64 == 0, op, "packed",
              "an address that is a multiple of 64, as pack functions return", packed.const_data_ptr());
}

/// The bias as contiguous memory, or nothing.
inline std::optional<at::Tensor> checked_bias(const char* op, const std::optional<at::Tensor>& bias, const at::Tensor& x,
                                              int64_t n) {
  if (!bias.has_value()) {
    return std::nullopt;
  }
  check_like(op, "bias", *bias, x, {n});
  return bias->contiguous();
}

/// An uninitialised result with the leading dimensions of x and n columns.
inline at::Tensor empty_result(const at::Tensor& x, int64_t n) {
  auto shape = x.sizes().vec();
  shape.back() = n;
  return at::empty(shape, x.options());
}

}  // namespace axion::bindings
