/// The implementations of one family that this CPU can run, for tests parametrised over them.
///
///   class NormTest : public testing::TestWithParam<Isa<NormKernels>> {};
///   INSTANTIATE_TEST_SUITE_P(Isa, NormTest, testing::ValuesIn(AXION_SVE2_TABLES(norm_kernels)),
///                            isa_name<NormKernels>);
///
/// Does not go through dispatch.h, so that one family can be built and tested without the others (AXION_ONLY).
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace axion::test {

template <typename Kernels>
struct Isa {
  using Table = Kernels;  // names the type where it must not be deduced: nullptr is an argument too
  const char* name;
  const Kernels* kernels;

  const Kernels* operator->() const { return kernels; }
  friend std::ostream& operator<<(std::ostream& out, const Isa& isa) { return out << isa.name; }
};

template <typename Kernels>
std::string isa_name(const testing::TestParamInfo<Isa<Kernels>>& info) {
  return info.param.name;
}

// Bits of the Linux arm64 hwcap.h: bf16 and i8mm stand for the whole neon set, sve2 and svebf16 for the sve2 set.
inline bool cpu_has_neon_set() {
#if defined(__aarch64__)
  constexpr unsigned long kI8mmAndBf16 = (1ul << 13) | (1ul << 14);
  return (getauxval(AT_HWCAP) & (1ul << 20)) != 0 && (getauxval(AT_HWCAP2) & kI8mmAndBf16) == kI8mmAndBf16;
#else
  return false;
#endif
}

inline bool cpu_has_sve2_set() {
#if defined(__aarch64__)
  constexpr unsigned long kSve2AndBf16 = (1ul << 1) | (1ul << 12);
  return cpu_has_neon_set() && (getauxval(AT_HWCAP) & (1ul << 22)) != 0 &&
         (getauxval(AT_HWCAP2) & kSve2AndBf16) == kSve2AndBf16;
#else
  return false;
#endif
}

/// Pass nullptr for an ISA that the family has no implementation of its own for.
template <typename Kernels>
std::vector<Isa<Kernels>> isa_tables(const Kernels& portable, const typename Isa<Kernels>::Table* neon,
                                     const typename Isa<Kernels>::Table* sve2) {
  std::vector<Isa<Kernels>> result{{"portable", &portable}};
  if (neon != nullptr && cpu_has_neon_set()) {
    result.push_back({"neon", neon});
  }
  if (sve2 != nullptr && cpu_has_sve2_set()) {
    result.push_back({"sve2", sve2});
  }
  return result;
}

/// For families in portable and neon; and for those with an sve2 unit of their own as well.
#if defined(__aarch64__)
#define AXION_NEON_TABLES(name) \
  ::axion::test::isa_tables(::axion::portable::name, &::axion::neon::name, nullptr)
#define AXION_SVE2_TABLES(name)                                                                                       \
  ::axion::test::isa_tables(::axion::portable::name, &::axion::neon::name,         \
                                                               &::axion::sve2::name)
#else
#define AXION_NEON_TABLES(name) \
  ::axion::test::isa_tables(::axion::portable::name, nullptr, nullptr)
#define AXION_SVE2_TABLES(name) AXION_NEON_TABLES(name)
#endif

}  // namespace axion::test
