// One layout for every implementation, so that one packed copy serves them all; see w4_group_bytes.
#include <cmath>
#include <cstring>

#include "axion/linear_w4.h"

namespace axion {
namespace {

constexpr std::uint32_t kZeroMask = 15;
constexpr std::uint8_t kSymmetricZero = 8;

/// The float nearest to `scale` whose last four mantissa bits are `zero`.
std::uint32_t scale_word(float scale, std::uint32_t zero) {
  if (scale == 0.0f) {
    return 0;  // with a zero point in it, it would be a denormal
  }
  std::uint32_t bits;
  std::memcpy(&bits, &scale, sizeof bits);
  const std::uint32_t sign = bits & 0x80000000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  std::uint32_t word = (magnitude & ~kZeroMask) | zero;
  if (word > magnitude + 8 && word >= 16) {
    word -= 16;
  } else if (word + 8 < magnitude && word + 16 < 0x7f800000u) {
    word += 16;
  }
  return sign | word;
}

void pack_group(const PackW4& a, std::size_t panel, std::size_t g, std::size_t group, std::uint8_t* out) {
  const std::size_t scale_groups = a.k / a.group_size;
  const std::size_t scale_group = g * group / a.group_size;
  std::uint32_t words[kW4PanelColumns] = {};
  std::uint8_t* nibbles = out + sizeof words;
  std::memset(nibbles, 0, kW4PanelColumns * group / 2);
  for (std::size_t c = 0; c < kW4PanelColumns; ++c) {
    const std::size_t row = panel * kW4PanelColumns + c;
    if (row >= a.n) {
      continue;
    }
    const std::size_t at = row * scale_groups + scale_group;
    const std::uint32_t zero = a.zeros != nullptr ? a.zeros[at] : kSymmetricZero;
    words[c] = scale_word(a.scales[at], zero & kZeroMask);
    const std::uint8_t* q = a.q + row * a.k + g * group;
    for (std::size_t i = 0; i < group; i += 16) {
      std::uint8_t* half = nibbles + i * 4 + (c / 2) * 16 + (c % 2) * 8;
      for (std::size_t j = 0; j < 8; ++j) {
        half[j] = static_cast<std::uint8_t>((q[i + j] & 15) << 4 | (q[i + 8 + j] & 15));
      }
    }
  }
  std::memcpy(out, words, sizeof words);
}

}  // namespace

void pack_w4(const PackW4& a, Range panels) {
  const std::size_t group = w4_group(a.k, a.group_size);
  for (std::size_t p = panels.begin; p < panels.end; ++p) {
    std::uint8_t* out = a.packed + p * w4_panel_bytes(a.k, group);
    for (std::size_t g = 0; g < a.k / group; ++g) {
      pack_group(a, p, g, group, out + g * w4_group_bytes(group));
    }
  }
}

}  // namespace axion
