/// Private to the neon and sve2 attention units: online softmax around the BFMMLA tiles of attention_bf16.h.
#pragma once

#include "attention_bf16.h"

namespace axion {
namespace {

constexpr float kLog2E = 0x1.715476p+0f;

/// The running maximum of a row before it has seen anything: finite, so that -infinity minus it stays -infinity.
constexpr float kNoMax = -0x1p126f;

struct alignas(64) Bf16Scratch {
  bf16 query[kAttentionRows * kMaxHeadDim];  ///< for each row block [dim / 4][row pairs][block]
  bf16 keys[kKeys * kMaxHeadDim];            ///< for each 8 keys [dim / 4][4][block]
  bf16 values[kKeys * kMaxHeadDim];          ///< for each 8 columns [kKeySteps][4][block]
  bf16 weights[kRowBlock * kKeys];           ///< one row block's p: [kKeySteps][row pairs][block]
  float scores[kRowBlock * kKeys];           ///< one row block's, by rows
  float sums[kAttentionRows * kMaxHeadDim];  ///< for each row block and 8 columns [row pairs][4][2x2]
  float max[kAttentionRows];                 ///< in units of log 2, as scores become
  float mass[kAttentionRows];
  float decay[kRowBlock];
  bf16 zeros[kMaxHeadDim];  ///< stands for rows and keys that are not there
};
static_assert(sizeof(Bf16Scratch) + 64 <= kWorkerBytes);

/// head_dim a multiple of 8. Exp2()(x) = 2^x for x <= 0 within 2^-13, zero (or less than the least normal number, which
/// BFMMLA takes for zero) for -infinity; NaN stays NaN.
template <typename Exp2>
class Bf16Core {
 public:
  Bf16Core(const Tile<bf16>& tile, void* worker)
      : tile_(tile),
        s_(*reinterpret_cast<Bf16Scratch*>((reinterpret_cast<std::uintptr_t>(worker) + 63) & ~std::uintptr_t{63})),
        dim_(tile.a.head_dim),
        pairs_((tile.rows + 1) / 2) {
    std::fill(s_.zeros, s_.zeros + dim_, bf16{0});
    std::fill(s_.max, s_.max + kAttentionRows, kNoMax);
    std::fill(s_.mass, s_.mass + kAttentionRows, 0.0f);
    std::fill(s_.sums, s_.sums + 2 * pairs_ * dim_, 0.0f);
    for (std::size_t pair = 0; pair < pairs_; ++pair) {
      const std::size_t second = 2 * pair + 1;
      bf16* out = s_.query + pair / kPairs * kRowBlock * dim_ + pair % kPairs * kBlock;
      pack_two_rows(tile.query(2 * pair), second < tile.rows ? tile.query(second) : s_.zeros, dim_, out,
                    block_pairs(pair) * kBlock);
    }
  }

  void step(std::size_t key, std::size_t count) {
    pack(key, count);
    for (std::size_t pair = 0; pair < pairs_; pair += kPairs) {
      switch (block_pairs(pair)) {
        case 1: rows<1>(pair, key, count); break;
        case 2: rows<2>(pair, key, count); break;
        case 3: rows<3>(pair, key, count); break;
        default: rows<4>(pair, key, count); break;
      }
    }
  }

  void finish() {
    for (std::size_t r = 0; r < tile_.rows; ++r) {
      const std::size_t pairs = block_pairs(r / 2);
      const float* sums = s_.sums + r / kRowBlock * kRowBlock * dim_ + r % kRowBlock / 2 * 16 + r % 2 * 2;
      auto* result = reinterpret_cast<std::uint16_t*>(tile_.result(r));
      const float share = s_.mass[r] == 0.0f ? 0.0f : 1.0f / s_.mass[r];
      for (std::size_t d = 0; d < dim_; d += 4, sums += d % 8 == 0 ? pairs * 16 - 8 : 8) {
        const float32x4_t sum = vcombine_f32(vld1_f32(sums), vld1_f32(sums + 4));
        vst1_u16(result + d, vreinterpret_u16_bf16(vcvt_bf16_f32(vmulq_n_f32(sum, share))));
      }
    }
  }

 private:
  /// Row pairs in the row block that a pair is of: 4, fewer in the last one.
  std::size_t block_pairs(std::size_t pair) const { return std::min(kPairs, pairs_ - pair / kPairs * kPairs); }

  void pack(std::size_t key, std::size_t count) {
    const auto row = [&](auto at, std::size_t j) { return j < count ? at(key + j) : s_.zeros; };
    const auto key_at = [&](std::size_t position) { return tile_.key(position); };
    const auto value_at = [&](std::size_t position) { return tile_.value(position); };
    const std::size_t columns = (count + 7) / 8 * 8;
    for (std::size_t j = 0; j < columns; j += 2) {
      pack_two_rows(row(key_at, j), row(key_at, j + 1), dim_, s_.keys + j / 8 * 8 * dim_ + j % 8 / 2 * kBlock,
                    kPairs * kBlock);
    }
    for (std::size_t j = 0; j < columns; j += 4) {
      const bf16* const four[4] = {row(value_at, j), row(value_at, j + 1), row(value_at, j + 2), row(value_at, j + 3)};
      pack_four_values(four, dim_, s_.values + j * kBlock, kKeySteps * kPairs * kBlock);
    }
  }

  template <int Rows>
  void rows(std::size_t pair, std::size_t key, std::size_t count) {
    constexpr int kColumns = Rows == 1 ? 4 : Rows == 2 ? 2 : 1;  // 16 accumulators, 12 for three pairs of rows
    const std::size_t columns = (count + 8 * kColumns - 1) / (8 * kColumns) * (8 * kColumns);
    for (std::size_t j = 0; j < columns; j += 8 * kColumns) {
      score<Rows, kColumns>(s_.query + 2 * pair * dim_, j);
    }
    for (int r = 0; r < Rows; ++r) {
      weigh<Rows>(2 * pair, static_cast<std::size_t>(r), key, count);
    }
    const std::size_t steps = (count + 7) / 8 * 2;
    std::size_t d = 0;
    for (; d + 8 * kColumns <= dim_; d += 8 * kColumns) {
      add<Rows, kColumns>(s_.sums + 2 * pair * dim_ + d / 8 * Rows * 16, d, steps);
    }
    for (; d < dim_; d += 8) {
      add<Rows, 1>(s_.sums + 2 * pair * dim_ + d / 8 * Rows * 16, d, steps);
    }
  }

  /// Scores of a row block with 8 * Columns keys from j on; keys past the last are what was packed there before.
  template <int Rows, int Columns>
  void score(const bf16* query, std::size_t j) {
    float32x4_t acc[Columns][Rows][kPairs] = {};
    multiply<Rows, Columns>(query, s_.keys + j * dim_, 8 * dim_, dim_ / 4, acc);
    for (int n = 0; n < Columns; ++n) {
      for (int r = 0; r < Rows; ++r) {
        float* out = s_.scores + 2 * r * static_cast<int>(kKeys) + static_cast<int>(j) + 8 * n;
        for (std::size_t p = 0; p < kPairs; p += 2, out += 4) {
          vst1q_f32(out, low_pairs(acc[n][r][p], acc[n][r][p + 1]));
          vst1q_f32(out + kKeys, high_pairs(acc[n][r][p], acc[n][r][p + 1]));
        }
      }
    }
  }

  /// sums of 8 * Columns columns from d on: what was there, scaled to the new maximum, plus p v.
  template <int Rows, int Columns>
  void add(float* sums, std::size_t d, std::size_t steps) {
    float32x4_t acc[Columns][Rows][kPairs];
    for (int i = 0; i < Columns * Rows * static_cast<int>(kPairs); ++i) {
      const int r = i / static_cast<int>(kPairs) % Rows;
      const float32x4_t decay = vcombine_f32(vld1_dup_f32(s_.decay + 2 * r), vld1_dup_f32(s_.decay + 2 * r + 1));
      (&acc[0][0][0])[i] = vmulq_f32(vld1q_f32(sums + 4 * i), decay);
    }
    multiply<Rows, Columns>(s_.weights, s_.values + d * kKeys, 8 * kKeys, steps, acc);
    for (int i = 0; i < Columns * Rows * static_cast<int>(kPairs); ++i) {
      vst1q_f32(sums + 4 * i, (&acc[0][0][0])[i]);
    }
  }

  /// Scores of two rows become p, packed for BFMMLA.
  template <int Rows>
  void weigh(std::size_t first_row, std::size_t pair, std::size_t key, std::size_t count) {
    const std::size_t row = first_row + 2 * pair;
    float* scores = s_.scores + 2 * pair * kKeys;
    const std::size_t columns = (count + 7) / 8 * 8;
    const float32x4_t max[2] = {new_max(scores, row, key, count, columns),
                                new_max(scores + kKeys, row + 1, key, count, columns)};
    float32x4_t sum[2] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    bf16* out = s_.weights + pair * kBlock;
    for (std::size_t j = 0; j < columns; j += 4, out += Rows * kBlock) {
      const float32x4_t p0 = Exp2()(vsubq_f32(vld1q_f32(scores + j), max[0]));
      const float32x4_t p1 = Exp2()(vsubq_f32(vld1q_f32(scores + kKeys + j), max[1]));
      sum[0] = vaddq_f32(sum[0], p0);
      sum[1] = vaddq_f32(sum[1], p1);
      const Block p = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(p0), p1);
      vst1q_u16(reinterpret_cast<std::uint16_t*>(out), vreinterpretq_u16_bf16(p));
    }
    for (std::size_t i = 0; i < 2; ++i) {
      // Exactly 1 where the maximum stays: an error here would be repeated for every block of keys.
      const float decay = vgetq_lane_f32(accurate_exp2(vsubq_f32(vdupq_n_f32(s_.max[row + i]), max[i])), 0);
      s_.decay[row + i - first_row] = decay;
      s_.max[row + i] = vgetq_lane_f32(max[i], 0);
      s_.mass[row + i] = s_.mass[row + i] * decay + vaddvq_f32(sum[i]);
    }
  }

  /// Scores become logits in units of log 2, -infinity where the row does not see; the largest so far of the row.
  float32x4_t new_max(float* scores, std::size_t row, std::size_t key, std::size_t count, std::size_t columns) {
    const Visible seen = row < tile_.rows ? tile_.visible(row, key, count) : Visible{0, 0};
    const float cap = tile_.a.softcap;
    float32x4_t max = vdupq_n_f32(s_.max[row]);
    if (cap > 0.0f) {
      for (std::size_t j = 0; j < columns; j += 4) {
        vst1q_f32(scores + j, capped(vmulq_n_f32(vld1q_f32(scores + j), tile_.a.scale), cap));
      }
    }
    const float32x4_t unit = vdupq_n_f32(cap > 0.0f ? kLog2E : tile_.a.scale * kLog2E);
    if (seen.begin == 0 && seen.end == columns) {
      for (std::size_t j = 0; j < columns; j += 4) {
        const float32x4_t logit = vmulq_f32(vld1q_f32(scores + j), unit);
        vst1q_f32(scores + j, logit);
        max = vmaxq_f32(max, logit);
      }
    } else {
      const uint32x4_t lane = {0, 1, 2, 3};
      const uint32x4_t begin = vdupq_n_u32(static_cast<std::uint32_t>(seen.begin));
      const uint32x4_t end = vdupq_n_u32(static_cast<std::uint32_t>(seen.end));
      for (std::size_t j = 0; j < columns; j += 4) {
        const uint32x4_t at = vaddq_u32(lane, vdupq_n_u32(static_cast<std::uint32_t>(j)));
        const uint32x4_t sees = vandq_u32(vcgeq_u32(at, begin), vcltq_u32(at, end));
        const float32x4_t logit = vbslq_f32(sees, vmulq_f32(vld1q_f32(scores + j), unit), vdupq_n_f32(-INFINITY));
        vst1q_f32(scores + j, logit);
        max = vmaxq_f32(max, logit);
      }
    }
    return vdupq_n_f32(vmaxvq_f32(max));
  }

  /// cap * tanh(s / cap) from e = exp(-2 |s / cap|), which cannot overflow.
  static float32x4_t capped(float32x4_t s, float cap) {
    const float32x4_t one = vdupq_n_f32(1.0f);
    const float32x4_t e = accurate_exp2(vmulq_n_f32(vabsq_f32(s), -2.0f * kLog2E / cap));
    const float32x4_t t = vdivq_f32(vmulq_n_f32(vsubq_f32(one, e), cap), vaddq_f32(one, e));
    return vbslq_f32(vdupq_n_u32(0x80000000u), s, t);
  }

  /// 2^x for x <= 0 within 2^-22: errors of capped logits are multiplied by the cap.
  static float32x4_t accurate_exp2(float32x4_t x) {
    const float32x4_t clamped = vmaxq_f32(x, vdupq_n_f32(-127.0f));
    const float32x4_t shifted = vaddq_f32(clamped, vdupq_n_f32(0x1.8p+23f + 127.0f));
    const float32x4_t f = vsubq_f32(clamped, vsubq_f32(shifted, vdupq_n_f32(0x1.8p+23f + 127.0f)));
    float32x4_t poly = vdupq_n_f32(0x1.430912p-13f);  // (ln 2)^i / i!, i = 6 to 0
    poly = vfmaq_f32(vdupq_n_f32(0x1.5d87fep-10f), poly, f);
    poly = vfmaq_f32(vdupq_n_f32(0x1.3b2ab6p-7f), poly, f);
    poly = vfmaq_f32(vdupq_n_f32(0x1.c6b08ep-5f), poly, f);
    poly = vfmaq_f32(vdupq_n_f32(0x1.ebfbep-3f), poly, f);
    poly = vfmaq_f32(vdupq_n_f32(0x1.62e43p-1f), poly, f);
    poly = vfmaq_f32(vdupq_n_f32(1.0f), poly, f);
    return vmulq_f32(poly, vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(shifted), 23)));
  }

  const Tile<bf16>& tile_;
  Bf16Scratch& s_;
  std::size_t dim_;
  std::size_t pairs_;
};

}  // namespace
}  // namespace axion
