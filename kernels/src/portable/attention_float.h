/// Private to the attention units: the Core that computes in float, whatever the type of the tensors.
#pragma once

#include <cstring>

#include "attention_tile.h"

namespace axion {
namespace {

// GNU vectors, which every compiler lowers to what the machine has.
using Floats = float __attribute__((vector_size(16)));
using FloatBits = std::uint32_t __attribute__((vector_size(16)));
constexpr std::size_t kLanes = 4;
constexpr std::size_t kMaxRows = kAttentionRows;

inline Floats load(const float* from) {
  Floats result;
  std::memcpy(&result, from, sizeof result);
  return result;
}

inline void store(float* to, Floats value) { std::memcpy(to, &value, sizeof value); }

inline Floats all(float value) { return Floats{value, value, value, value}; }

/// e^x for x <= 0, at most 2 ULP off; zero below -87, where floats would soon be denormal; NaN stays NaN.
inline Floats exp_of(Floats x) {
  const Floats clamped = x < all(-87.0f) ? all(-87.0f) : x;
  const Floats shifted = clamped * 0x1.715476p+0f + 0x1.8p+23f;  // the low bits now hold n = round(x / ln 2)
  const Floats n = shifted - 0x1.8p+23f;
  const Floats r = (clamped - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;  // ln 2 in two parts, the first times n exact
  Floats poly = r * (1.0f / 720.0f) + 1.0f / 120.0f;
  poly = poly * r + 1.0f / 24.0f;
  poly = poly * r + 1.0f / 6.0f;
  poly = poly * r + 0.5f;
  poly = (poly * r * r + r) + 1.0f;
  const FloatBits bits = reinterpret_cast<FloatBits>(poly) + (reinterpret_cast<FloatBits>(shifted) << 23);
  return x < all(-87.0f) ? all(0.0f) : reinterpret_cast<Floats>(bits);
}

/// cap * tanh(s / cap) from e = exp(-2 |s / cap|), which cannot overflow.
inline Floats capped(Floats s, float cap) {
  const FloatBits sign = reinterpret_cast<FloatBits>(s) & 0x80000000u;
  const Floats magnitude = reinterpret_cast<Floats>(reinterpret_cast<FloatBits>(s) ^ sign);
  const Floats e = exp_of(magnitude * (-2.0f / cap));
  const Floats t = cap * (1.0f - e) / (1.0f + e);
  return reinterpret_cast<Floats>(reinterpret_cast<FloatBits>(t) | sign);
}

/// Everything widened to float; rows padded to a multiple of 4, columns to one of 8, with zeros.
struct Scratch {
  float query[kMaxRows * kMaxHeadDim];
  float keys[kMaxHeadDim * kKeys];  ///< transposed: a key is a column
  float values[kKeys * kMaxHeadDim];
  float scores[kMaxRows * kKeys];  ///< later the probabilities
  float sums[kMaxRows * kMaxHeadDim];
  float max[kMaxRows];
  float mass[kMaxRows];
};
static_assert(sizeof(Scratch) <= kWorkerBytes);

/// Multiply::four_rows(c, c_stride, a, a_stride, b, b_stride, columns, depth): c += a b for 4 rows of c and a,
/// [4, columns] += [4, depth] [depth, columns]; columns a multiple of 8.
template <typename T, typename Multiply>
class FloatCore {
 public:
  FloatCore(const Tile<T>& tile, void* worker)
      : tile_(tile),
        s_(*static_cast<Scratch*>(worker)),
        dim_(tile.a.head_dim),
        width_((tile.a.head_dim + 7) / 8 * 8),
        rows_((tile.rows + 3) / 4 * 4) {
    std::fill(s_.query, s_.query + rows_ * width_, 0.0f);
    std::fill(s_.values, s_.values + kKeys * width_, 0.0f);
    std::fill(s_.keys, s_.keys + kKeys * width_, 0.0f);
    std::fill(s_.sums, s_.sums + rows_ * width_, 0.0f);
    std::fill(s_.max, s_.max + rows_, -INFINITY);
    std::fill(s_.mass, s_.mass + rows_, 0.0f);
    for (std::size_t r = 0; r < tile.rows; ++r) {
      const T* query = tile.query(r);
      for (std::size_t d = 0; d < dim_; ++d) {
        s_.query[r * width_ + d] = to_float(query[d]);
      }
    }
  }

  void step(std::size_t key, std::size_t count) {
    for (std::size_t j = 0; j < count; ++j) {
      const T* k = tile_.key(key + j);
      const T* v = tile_.value(key + j);
      for (std::size_t d = 0; d < dim_; ++d) {
        s_.keys[d * kKeys + j] = to_float(k[d]);
        s_.values[j * width_ + d] = to_float(v[d]);
      }
    }
    std::fill(s_.scores, s_.scores + rows_ * kKeys, 0.0f);
    const std::size_t columns = (count + 7) / 8 * 8;
    for (std::size_t r = 0; r < rows_; r += 4) {
      float* scores = s_.scores + r * kKeys;
      Multiply::four_rows(scores, kKeys, s_.query + r * width_, width_, s_.keys, kKeys, columns, width_);
      for (std::size_t i = r; i < r + 4; ++i) {
        weigh(i, i < tile_.rows ? tile_.visible(i, key, count) : Visible{0, 0});
      }
      Multiply::four_rows(s_.sums + r * width_, width_, scores, kKeys, s_.values, width_, width_, count);
    }
  }

  void finish() {
    for (std::size_t r = 0; r < tile_.rows; ++r) {
      T* result = tile_.result(r);
      const float share = s_.mass[r] == 0.0f ? 0.0f : 1.0f / s_.mass[r];
      for (std::size_t d = 0; d < dim_; ++d) {
        result[d] = from_float<T>(s_.sums[r * width_ + d] * share);
      }
    }
  }

 private:
  /// Scores become e^(score - max so far); what earlier blocks gave is scaled to the new max.
  void weigh(std::size_t row, Visible seen) {
    float* scores = s_.scores + row * kKeys;
    if (seen.begin >= seen.end) {
      std::fill(scores, scores + kKeys, 0.0f);
      return;
    }
    float max = s_.max[row];
    for (std::size_t j = 0; j < kKeys; j += kLanes) {
      Floats score = load(scores + j) * tile_.a.scale;
      if (tile_.a.softcap > 0.0f) {
        score = capped(score, tile_.a.softcap);
      }
      store(scores + j, score);
    }
    std::fill(scores, scores + seen.begin, -INFINITY);
    std::fill(scores + seen.end, scores + kKeys, -INFINITY);
    for (std::size_t j = seen.begin; j < seen.end; ++j) {
      max = scores[j] > max ? scores[j] : max;
    }
    Floats sum = all(0.0f);
    for (std::size_t j = 0; j < kKeys; j += kLanes) {
      const Floats p = exp_of(load(scores + j) - max);
      store(scores + j, p);
      sum += p;
    }
    const float decay = exp_of(all(s_.max[row]) - max)[0];
    s_.max[row] = max;
    s_.mass[row] = s_.mass[row] * decay + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (std::size_t d = 0; d < width_; ++d) {
      s_.sums[row * width_ + d] *= decay;
    }
  }

  const Tile<T>& tile_;
  Scratch& s_;
  std::size_t dim_;
  std::size_t width_;
  std::size_t rows_;
};

}  // namespace
}  // namespace axion
