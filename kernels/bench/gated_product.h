/// One call of gate * up, the gated activations without their activation, for the modelled benchmark: what their loads,
/// conversions, product and stores cost. PROGRAM TYPE(f32|bf16) SIZE
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "axion/types.h"

namespace axion {

template <typename T>
using GatedRow = void (*)(const T* gate, const T* up, T* y, std::size_t size);

template <typename T>
int call_row(GatedRow<T> row, std::size_t size) {
  const std::vector<T> x(2 * size, from_float<T>(1.5f));
  std::vector<T> y(size);
  row(x.data(), x.data() + size, y.data(), size);
  std::printf("%g\n", static_cast<double>(to_float(y[size / 2])));
  return 0;
}

inline int gated_product(int argc, char** argv, GatedRow<float> f32, GatedRow<bf16> narrow) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s TYPE(f32|bf16) SIZE\n", argv[0]);
    return 2;
  }
  const std::size_t size = std::strtoull(argv[2], nullptr, 10);
  return std::strcmp(argv[1], "f32") == 0 ? call_row(f32, size) : call_row(narrow, size);
}

}  // namespace axion
