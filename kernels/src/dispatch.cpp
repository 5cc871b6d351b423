#include "axion/dispatch.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace axion {
namespace {

const KernelTable portable_table = {
    "portable",
    portable::norm_kernels,
    portable::rotary_kernels,
    portable::activation_kernels,
    portable::softmax_kernels,
    portable::attention_kernels,
    portable::linear_bf16_kernels,
    portable::linear_w4_kernels,
    portable::linear_w8_kernels,
    portable::sampler_kernels,
};

#if defined(__aarch64__)
const KernelTable neon_table = {
    "neon",
    neon::norm_kernels,
    neon::rotary_kernels,
    neon::activation_kernels,
    neon::softmax_kernels,
    neon::attention_kernels,
    neon::linear_bf16_kernels,
    neon::linear_w4_kernels,
    neon::linear_w8_kernels,
    neon::sampler_kernels,
};

#if defined(AXION_HAS_SVE2)
/// At 128 bits SVE2 is no wider than NEON: it serves where FEXPA or predication pays.
const KernelTable sve2_table = {
    "sve2",
    sve2::norm_kernels,
    neon::rotary_kernels,
    sve2::activation_kernels,
    sve2::softmax_kernels,
    sve2::attention_kernels,
    neon::linear_bf16_kernels,
    neon::linear_w4_kernels,
    neon::linear_w8_kernels,
    neon::sampler_kernels,
};
#endif

// Linux, arch/arm64/include/uapi/asm/hwcap.h. Named here so that an old header does not hide a new CPU.
constexpr unsigned long kHwcapAsimdDp = 1ul << 20;
[[maybe_unused]] constexpr unsigned long kHwcapSve = 1ul << 22;
[[maybe_unused]] constexpr unsigned long kHwcap2Sve2 = 1ul << 1;
[[maybe_unused]] constexpr unsigned long kHwcap2SveBf16 = 1ul << 12;
constexpr unsigned long kHwcap2I8mm = 1ul << 13;
constexpr unsigned long kHwcap2Bf16 = 1ul << 14;

bool has(unsigned long value, unsigned long bits) { return (value & bits) == bits; }

bool cpu_has_neon_set() {
  return has(getauxval(AT_HWCAP), kHwcapAsimdDp) && has(getauxval(AT_HWCAP2), kHwcap2Bf16 | kHwcap2I8mm);
}

#if defined(AXION_HAS_SVE2)
bool cpu_has_sve2_set() {
  return cpu_has_neon_set() && has(getauxval(AT_HWCAP), kHwcapSve) &&
         has(getauxval(AT_HWCAP2), kHwcap2Sve2 | kHwcap2SveBf16);
}
#endif
#endif

const KernelTable& choose() {
  if (const char* wanted = std::getenv("AXION_ISA"); wanted != nullptr && *wanted != '\0') {
    if (const KernelTable* table = find_kernels(wanted)) {
      return *table;
    }
    std::fprintf(stderr, "AXION_ISA: not available on this CPU, got %s. Unset it, or choose portable.\n", wanted);
    std::exit(1);
  }
  for (const char* isa : {"sve2", "neon"}) {
    if (const KernelTable* table = find_kernels(isa)) {
      return *table;
    }
  }
  return portable_table;
}

}  // namespace

const KernelTable* find_kernels(const char* isa) {
  if (std::strcmp(isa, "portable") == 0) {
    return &portable_table;
  }
#if defined(__aarch64__)
  if (std::strcmp(isa, "neon") == 0 && cpu_has_neon_set()) {
    return &neon_table;
  }
#endif
#if defined(AXION_HAS_SVE2)
  if (std::strcmp(isa, "sve2") == 0 && cpu_has_sve2_set()) {
    return &sve2_table;
  }
#endif
  return nullptr;
}

const KernelTable& kernels() {
  static const KernelTable& chosen = choose();
  return chosen;
}

}  // namespace axion
