#include "linear_bf16_tile.h"

namespace axion::neon {
namespace {

uint16x8_t load_block(const bf16* row) { return vld1q_u16(reinterpret_cast<const std::uint16_t*>(row)); }

/// The last, incomplete block of a row, without reading beyond it.
uint16x8_t load_tail(const bf16* row, std::size_t count) {
  std::uint16_t block[kBlock] = {};
  for (std::size_t i = 0; i < count; ++i) {
    block[i] = row[i].bits;
  }
  return vld1q_u16(block);
}

void store_pair(std::uint16_t* packed, std::size_t pairs, uint16x8_t even, uint16x8_t odd) {
  const uint64x2_t left = vreinterpretq_u64_u16(even);
  const uint64x2_t right = vreinterpretq_u64_u16(odd);
  vst1q_u16(packed, vreinterpretq_u16_u64(vzip1q_u64(left, right)));
  vst1q_u16(packed + pairs * kBlock, vreinterpretq_u16_u64(vzip2q_u64(left, right)));
}

/// One pair of rows; a row that is missing is nullptr.
void pack_pair(const bf16* even, const bf16* odd, std::size_t count, std::size_t pairs, std::uint16_t* packed) {
  const uint16x8_t zeros = vdupq_n_u16(0);
  std::size_t k = 0;
  for (; k + kBlock <= count; k += kBlock, packed += pairs * kPairBlock) {
    store_pair(packed, pairs, even != nullptr ? load_block(even + k) : zeros,
               odd != nullptr ? load_block(odd + k) : zeros);
  }
  if (k < count) {
    store_pair(packed, pairs, even != nullptr ? load_tail(even + k, count - k) : zeros,
               odd != nullptr ? load_tail(odd + k, count - k) : zeros);
  }
}

/// All rows of a tile where none is missing, up to the last whole block; returns how many elements that is.
template <std::size_t Pairs>
std::size_t pack_whole(const bf16* x, std::size_t stride, std::size_t count, std::uint16_t* packed) {
  const bf16* rows[2 * Pairs];
  for (std::size_t r = 0; r < 2 * Pairs; ++r) {
    rows[r] = x + r * stride;
  }
  std::size_t k = 0;
  for (; k + kBlock <= count; k += kBlock, packed += Pairs * kPairBlock) {
    for (std::size_t pair = 0; pair < Pairs; ++pair) {
      store_pair(packed + pair * kBlock, Pairs, load_block(rows[2 * pair] + k), load_block(rows[2 * pair + 1] + k));
    }
  }
  return k;
}

}  // namespace

void pack_bf16_pairs(const bf16* x, std::size_t stride, std::size_t rows, std::size_t pairs, Range elements,
                     std::uint16_t* packed) {
  x += elements.begin;
  std::size_t done = 0;
  if (rows == kTileRows && pairs == kTilePairs) {
    done = pack_whole<kTilePairs>(x, stride, elements.end - elements.begin, packed);
  } else if (rows == kColumns && pairs == kColumnPairs) {
    done = pack_whole<kColumnPairs>(x, stride, elements.end - elements.begin, packed);
  }
  const std::size_t left = elements.end - elements.begin - done;
  for (std::size_t pair = 0; pair < pairs && left > 0; ++pair) {
    const bf16* even = 2 * pair < rows ? x + 2 * pair * stride + done : nullptr;
    const bf16* odd = 2 * pair + 1 < rows ? x + (2 * pair + 1) * stride + done : nullptr;
    pack_pair(even, odd, left, pairs, packed + done * 2 * pairs + pair * kBlock);
  }
}

}  // namespace axion::neon
