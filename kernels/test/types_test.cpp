#include "axion/types.h"

#include <gtest/gtest.h>

namespace axion::test {
namespace {

std::uint16_t rounded_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return to_bf16(value).bits;
}

TEST(TypesTest, Bf16IsTheNearestOneAndTiesGoToTheEvenOne) {
  EXPECT_EQ(rounded_bits(0x3f800000u), 0x3f80);  // 1
  EXPECT_EQ(rounded_bits(0x3f807fffu), 0x3f80);
  EXPECT_EQ(rounded_bits(0x3f808000u), 0x3f80);  // ties
  EXPECT_EQ(rounded_bits(0x3f818000u), 0x3f82);
  EXPECT_EQ(rounded_bits(0xbf818000u), 0xbf82);
  EXPECT_EQ(rounded_bits(0x3f808001u), 0x3f81);
  EXPECT_EQ(rounded_bits(0x3fff8000u), 0x4000);  // up into the next exponent
  EXPECT_EQ(rounded_bits(0x00008000u), 0x0000);  // denormals
  EXPECT_EQ(rounded_bits(0x80008001u), 0x8001);
  EXPECT_EQ(rounded_bits(0x80000000u), 0x8000);  // -0
}

TEST(TypesTest, Bf16OfWhatIsTooLargeIsInfinityAndOfNanAQuietNan) {
  EXPECT_EQ(rounded_bits(0x7f7f7fffu), 0x7f7f);
  EXPECT_EQ(rounded_bits(0x7f7f8000u), 0x7f80);
  EXPECT_EQ(rounded_bits(0xff7fffffu), 0xff80);
  EXPECT_EQ(rounded_bits(0xff800000u), 0xff80);
  EXPECT_EQ(rounded_bits(0x7f800001u), 0x7fc0);  // signalling, its payload all in the half that goes
  EXPECT_EQ(rounded_bits(0xffffffffu), 0xffff);
}

}  // namespace
}  // namespace axion::test
