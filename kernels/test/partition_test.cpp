// How the torch binding cuts a long prompt into chunks of rows. The binding itself is tested from Python.
#include "../torch/partition.h"

#include <gtest/gtest.h>

namespace axion::bindings {
namespace {

constexpr std::size_t kBlock = 8;

TEST(RowChunks, AreConsecutiveAndBounded) {
  for (std::size_t rows = 0; rows < 5000; ++rows) {
    std::size_t next = 0;
    in_row_chunks(rows, kBlock, [&](Range part) {
      ASSERT_EQ(part.begin, next) << rows;
      ASSERT_EQ(part.begin % kBlock, 0u) << rows;
      ASSERT_LE(part.end - part.begin, 512u) << rows;
      next = part.end;
    });
    ASSERT_EQ(next, rows);
  }
}

// Up to sixteen rows are computed another way: a remainder of a few rows would get other bits than a longer prompt's.
TEST(RowChunks, NoneIsShortUnlessAllRowsAre) {
  std::size_t shortest = 512;
  for (std::size_t rows = 17; rows < 200000; rows += rows < 5000 ? 1 : 61) {
    in_row_chunks(rows, kBlock, [&](Range part) {
      ASSERT_GT(part.end - part.begin, 16u) << rows;
      shortest = rows > 512 ? std::min(shortest, part.end - part.begin) : shortest;
    });
  }
  EXPECT_GT(shortest, 200u);  // 513 rows are halved
}

TEST(RowChunks, UpTo512RowsAreOne) {
  std::size_t calls = 0;
  in_row_chunks(512, kBlock, [&](Range part) {
    ++calls;
    EXPECT_EQ(part.end, 512u);
  });
  EXPECT_EQ(calls, 1u);
}

}  // namespace
}  // namespace axion::bindings
