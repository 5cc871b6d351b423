#include "axion/rotary.h"

#include <gtest/gtest.h>

#include "guarded.h"
#include "isa.h"
#include "reference.h"

namespace axion::test {
namespace {

void run(const RotaryKernels& k, const Rotary<float, float>& a, Range t) { k.rotary_f32_f32(a, t); }
void run(const RotaryKernels& k, const Rotary<float, bf16>& a, Range t) { k.rotary_f32_bf16(a, t); }
void run(const RotaryKernels& k, const Rotary<bf16, float>& a, Range t) { k.rotary_bf16_f32(a, t); }
void run(const RotaryKernels& k, const Rotary<bf16, bf16>& a, Range t) { k.rotary_bf16_bf16(a, t); }

struct Shape {
  std::size_t heads, kv_heads, head_size, rot_dim;
};

/// Checks one head against the definition, in double.
template <typename T, typename C>
void expect_rotated(const T* x, const T* y, const C* cosines, std::size_t rot_dim, std::size_t head_size, bool neox) {
  const std::size_t half = rot_dim / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const std::size_t first = neox ? i : 2 * i, second = neox ? i + half : 2 * i + 1;
    const double a = static_cast<double>(to_float(x[first])), b = static_cast<double>(to_float(x[second]));
    const double c = static_cast<double>(to_float(cosines[i])), s = static_cast<double>(to_float(cosines[half + i]));
    const double want_a = a * c - b * s, want_b = b * c + a * s;
    ASSERT_NEAR(static_cast<double>(to_float(y[first])), want_a,
                1.0001 * sum_bound<T>(want_a, std::abs(a * c) + std::abs(b * s), 2.0) + 0x1p-133);
    ASSERT_NEAR(static_cast<double>(to_float(y[second])), want_b,
                1.0001 * sum_bound<T>(want_b, std::abs(b * c) + std::abs(a * s), 2.0) + 0x1p-133);
  }
  EXPECT_TRUE(same_bits(x + rot_dim, y + rot_dim, head_size - rot_dim)) << "the rest passes through";
}

class RotaryTest : public testing::TestWithParam<Isa<RotaryKernels>> {
 protected:
  template <typename T, typename C>
  void check(const Shape& shape, bool neox, std::size_t pad) {
    constexpr std::size_t kTokens = 5, kPositions = 40000;
    const std::int64_t positions[kTokens] = {39999, 0, 32769, 7, 7};
    const std::size_t q_stride = shape.heads * shape.head_size + pad, k_stride = shape.kv_heads * shape.head_size + pad;
    const Guarded<T> q(rounded<T>(outlier_values(kTokens * q_stride - pad, 1)));
    const Guarded<T> k(rounded<T>(normal_values(shape.kv_heads == 0 ? 0 : kTokens * k_stride - pad, 2)));
    Guarded<C> cache(kPositions * shape.rot_dim);
    for (std::int64_t p : positions) {
      for (std::size_t i = 0; i < shape.rot_dim / 2; ++i) {
        const double angle = static_cast<double>(p) * std::pow(1e4, -2.0 * static_cast<double>(i) /
                                                                       static_cast<double>(shape.rot_dim));
        C* row = cache.data() + static_cast<std::size_t>(p) * shape.rot_dim;
        row[i] = from_float<C>(static_cast<float>(1.19024 * std::cos(angle)));
        row[shape.rot_dim / 2 + i] = from_float<C>(static_cast<float>(1.19024 * std::sin(angle)));
      }
    }
    Guarded<T> q_out(q.size()), k_out(k.size());
    Rotary<T, C> args{positions,      cache.data(),   q.data(),      k.data(),      q_out.data(), k_out.data(),
                      shape.heads,    shape.kv_heads, shape.head_size, shape.rot_dim, q_stride,     k_stride,
                      q_stride,       k_stride,       neox};
    run(*GetParam().kernels, args, {0, kTokens});
    for (std::size_t t = 0; t < kTokens; ++t) {
      const C* row = cache.data() + static_cast<std::size_t>(positions[t]) * shape.rot_dim;
      for (std::size_t h = 0; h < shape.heads + shape.kv_heads; ++h) {
        const bool is_key = h >= shape.heads;
        const std::size_t at = is_key ? t * k_stride + (h - shape.heads) * shape.head_size
                                      : t * q_stride + h * shape.head_size;
        expect_rotated(is_key ? k.data() + at : q.data() + at, is_key ? k_out.data() + at : q_out.data() + at, row,
                       shape.rot_dim, shape.head_size, neox);
      }
    }
    Guarded<T> q_in_place(q.copy()), k_in_place(k.copy());  // token by token and in place: the same bits
    args.query = args.query_out = q_in_place.data();
    args.key = args.key_out = k_in_place.data();
    for (std::size_t t = kTokens; t-- > 0;) {
      run(*GetParam().kernels, args, {t, t + 1});
    }
    for (std::size_t t = 0; t < kTokens; ++t) {
      EXPECT_TRUE(same_bits(q_out.data() + t * q_stride, q_in_place.data() + t * q_stride, q_stride - pad));
      EXPECT_TRUE(k.size() == 0 ||
                  same_bits(k_out.data() + t * k_stride, k_in_place.data() + t * k_stride, k_stride - pad));
    }
  }

  void check_types(const Shape& shape, std::size_t pad) {
    for (bool neox : {true, false}) {
      SCOPED_TRACE(testing::Message() << "head_size " << shape.head_size << " rot_dim " << shape.rot_dim << " neox "
                                      << neox);
      check<float, float>(shape, neox, pad);
      check<float, bf16>(shape, neox, pad);
      check<bf16, float>(shape, neox, pad);
      check<bf16, bf16>(shape, neox, pad);
    }
  }
};

TEST_P(RotaryTest, TheModelsShapes) {
  for (const Shape& shape : {Shape{24, 8, 128, 96}, Shape{12, 2, 128, 128}, Shape{28, 4, 128, 128},
                             Shape{32, 8, 128, 128}, Shape{32, 16, 128, 128}}) {
    check_types(shape, 0);
  }
}

TEST_P(RotaryTest, EveryNumberOfPairsWithOddStridesAndPartialRotation) {
  for (std::size_t rot_dim = 2; rot_dim <= 40; rot_dim += 2) {
    check_types({2, 1, rot_dim + rot_dim % 3, rot_dim}, 3);
  }
}

TEST_P(RotaryTest, NoKeyIsAllowed) { check_types({3, 0, 20, 16}, 1); }

TEST_P(RotaryTest, NanAndInfinityStayInTheirPair) {
  const std::vector<float> cache(22, 0.5f);
  for (bool neox : {true, false}) {
    for (std::size_t position = 0; position < 22; ++position) {
      std::vector<float> x = normal_values(22, 3), y(22);
      x[position] = std::numeric_limits<float>::quiet_NaN();
      const std::int64_t zero = 0;
      const Rotary<float, float> args{&zero, cache.data(), x.data(), nullptr, y.data(), nullptr, 1,  0,
                                      22,    22,           22,       0,       22,       0,       neox};
      run(*GetParam().kernels, args, {0, 1});
      for (std::size_t i = 0; i < 22; ++i) {
        const bool same_pair = neox ? i % 11 == position % 11 : i / 2 == position / 2;
        EXPECT_EQ(std::isnan(y[i]), same_pair);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, RotaryTest, testing::ValuesIn(AXION_NEON_TABLES(rotary_kernels)),
                         isa_name<RotaryKernels>);

}  // namespace
}  // namespace axion::test
