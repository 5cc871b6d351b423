/// The rows of RMSNorm, the same for every table. A table's own is what is done with one row, a type with
///   float sum_of_squares(const Source& source, std::size_t size): of a Row, and of a SumOfRows, which it stores;
///   void scale_row<kUnitOffset>(const T* x, const T* weight, T* y, std::size_t size, float inverse).
/// Internal linkage: each unit compiles its own copy, for its own ISA.
#pragma once

#include <cmath>

#include "axion/norm.h"

namespace axion {
namespace {

/// What the norm is taken of: a row as it is.
template <typename T>
struct Row {
  const T* x;
};

/// ... or the sum of two, stored as it is computed; the norm is that of the rounded sum.
template <typename T>
struct SumOfRows {
  const T* x;
  const T* residual;
  T* sum;
};

/// One row; its own function, so that the modelled benchmark has a symbol for it.
template <typename Isa, typename Source, typename T>
[[gnu::noinline]] void normalise(const Source& source, const T* x, const T* weight, T* y, std::size_t size, float eps,
                                 bool unit_offset) {
  const float inverse = 1.0f / std::sqrt(Isa::sum_of_squares(source, size) / static_cast<float>(size) + eps);
  if (unit_offset) {
    Isa::template scale_row<true>(x, weight, y, size, inverse);
  } else {
    Isa::template scale_row<false>(x, weight, y, size, inverse);
  }
}

template <typename Isa, typename T>
void rms_norm(const RmsNorm<T>& a, Range rows) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    const T* x = a.x + row * a.x_stride;
    normalise<Isa>(Row<T>{x}, x, a.weight, a.y + row * a.y_stride, a.size, a.eps, a.unit_offset);
  }
}

template <typename Isa, typename T>
void fused_add_rms_norm(const FusedAddRmsNorm<T>& a, Range rows) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    const std::size_t at = row * a.stride;
    T* sum = a.residual_out + at;
    normalise<Isa>(SumOfRows<T>{a.x + at, a.residual + at, sum}, sum, a.weight, a.y + at, a.size, a.eps, a.unit_offset);
  }
}

template <typename Isa>
constexpr NormKernels kNormRows = {
    rms_norm<Isa, float>,
    rms_norm<Isa, bf16>,
    fused_add_rms_norm<Isa, float>,
    fused_add_rms_norm<Isa, bf16>,
};

}  // namespace
}  // namespace axion
