#include "axion/dispatch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace {

// The script that runs the tests on several emulated CPUs says what each must choose; alone, any table will do.
TEST(Dispatch, ChoosesTheBestTableThatTheCpuHas) {
  const char* expected = std::getenv("AXION_EXPECTED_ISA");
  const std::string chosen = axion::kernels().isa;
  if (expected != nullptr) {
    EXPECT_EQ(chosen, expected);
  }
  EXPECT_EQ(axion::find_kernels(chosen.c_str()), &axion::kernels());
}

TEST(Dispatch, PortableIsAlwaysThere) { EXPECT_NE(axion::find_kernels("portable"), nullptr); }

TEST(Dispatch, AnUnknownNameHasNoTable) { EXPECT_EQ(axion::find_kernels("avx512"), nullptr); }

}  // namespace
