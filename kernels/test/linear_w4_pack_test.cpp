#include "linear_w4_problem.h"

namespace axion::test {
namespace {

TEST(PackW4Test, GroupThatIsPacked) {
  EXPECT_EQ(w4_group(256, 32), 32u);
  EXPECT_EQ(w4_group(256, 64), 64u);
  EXPECT_EQ(w4_group(256, 128), 128u);
  EXPECT_EQ(w4_group(256, 256), 128u);  // whole-K groups
  EXPECT_EQ(w4_group(320, 320), 64u);
  EXPECT_EQ(w4_group(96, 96), 32u);
  EXPECT_EQ(w4_group(256, 96), 0u);
  EXPECT_EQ(w4_group(192, 128), 0u);
  EXPECT_EQ(w4_group(48, 48), 0u);
  EXPECT_EQ(w4_group(48, 16), 0u);
  EXPECT_EQ(w4_group(0, 32), 0u);
  EXPECT_EQ(w4_group(64, 0), 0u);
}

TEST(PackW4Test, BytesOfOneGroup) {
  W4Problem problem({1, 3, 32, 32});
  for (std::size_t i = 0; i < 96; ++i) {
    problem.q[i] = static_cast<std::uint8_t>(i % 16 == 3 ? 9 : i / 32);
  }
  problem.q[32 + 8 + 2] = 15;  // column 1, k 10
  problem.scales = {1.0f, 0.0f, -2.0f};
  problem.zeros = {7, 9, 15};
  const Guarded<std::uint8_t> packed = packed_w4(problem);
  ASSERT_EQ(packed.size(), 160u);
  std::uint32_t words[8];
  std::memcpy(words, packed.data(), sizeof words);
  EXPECT_EQ(words[0], 0x3f800007u);
  EXPECT_EQ(words[1], 0u);  // a scale of zero has no zero point, or it would be a denormal
  EXPECT_EQ(words[2], 0xbfffffffu);  // 15 is nearer from below
  for (std::size_t c = 3; c < 8; ++c) {
    EXPECT_EQ(words[c], 0u) << "columns beyond n";
  }
  const std::uint8_t* nibbles = packed.data() + 32;
  EXPECT_EQ(nibbles[0], 0x00);       // column 0: k 0 and 8
  EXPECT_EQ(nibbles[3], 0x90);       // k 3 and 11
  EXPECT_EQ(nibbles[8 + 2], 0x1f);   // column 1: k 2 and 10
  EXPECT_EQ(nibbles[16 + 0], 0x22);  // column 2, second pair
  EXPECT_EQ(nibbles[16 + 8], 0x00);  // column 3 does not exist
  EXPECT_EQ(nibbles[64 + 3], 0x90);  // column 0: k 19 and 27
  EXPECT_EQ(nibbles[64 + 8 + 3], 0x91);
}

TEST(PackW4Test, ScaleIsKeptToTwentyOneBits) {
  W4Problem problem({1, 8, 32, 32});
  for (std::size_t trial = 0; trial < 500; ++trial) {
    problem.scales = normal_values(8, static_cast<std::uint32_t>(trial), trial % 2 == 0 ? 1e-3 : 6e4);
    for (std::uint8_t& zero : problem.zeros) {
      zero = static_cast<std::uint8_t>(trial % 16);
    }
    const Guarded<std::uint8_t> packed = packed_w4(problem);
    for (std::size_t c = 0; c < 8; ++c) {
      float kept;
      std::memcpy(&kept, packed.data() + 4 * c, sizeof kept);
      ASSERT_LE(std::abs(kept - problem.scales[c]), 0x1p-20 * std::abs(problem.scales[c]));
      ASSERT_EQ(bits_of(kept) & 15u, trial % 16);
    }
  }
}

TEST(PackW4Test, PanelsCanBePackedInAnySplit) {
  const W4Problem problem({1, 43, 192, 64});
  const Guarded<std::uint8_t> whole = packed_w4(problem);
  Guarded<std::uint8_t> split(whole.size());
  const PackW4 pack = {problem.q.data(), problem.scales.data(), problem.zeros.data(), split.data(), 43, 192, 64};
  for (std::size_t p : {5, 0, 3, 1, 4, 2}) {
    pack_w4(pack, {p, p + 1});
  }
  EXPECT_EQ(split.copy(), whole.copy());
}

TEST(PackW4Test, WholeKIsTheScaleRepeated) {
  W4Problem whole({1, 9, 384, 384});
  W4Problem groups = whole;
  groups.shape.group = 128;
  groups.scales.clear();
  groups.zeros.clear();
  for (std::size_t i = 0; i < 27; ++i) {
    groups.scales.push_back(whole.scales[i / 3]);
    groups.zeros.push_back(whole.zeros[i / 3]);
  }
  EXPECT_EQ(packed_w4(whole).copy(), packed_w4(groups).copy());
}

}  // namespace
}  // namespace axion::test
