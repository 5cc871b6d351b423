/// The rows of a gated activation, the same for every table; kRow is a table's own way through the columns of one.
/// Internal linkage: each unit compiles its own copy, for its own ISA.
#pragma once

#include "axion/activation.h"

namespace axion {
namespace {

template <typename T, void (*kRow)(const T* gate, const T* up, T* y, std::size_t size)>
void gated_rows(const GatedActivation<T>& a, Range rows, Range columns) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    const T* gate = a.x + row * a.x_stride + columns.begin;
    kRow(gate, gate + a.size, a.y + row * a.y_stride + columns.begin, columns.end - columns.begin);
  }
}

}  // namespace
}  // namespace axion
