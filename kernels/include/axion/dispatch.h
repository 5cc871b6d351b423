/// Which implementation of each family this process uses: decided once, from what the kernel says the CPU can do.
#pragma once

#include "axion/activation.h"
#include "axion/attention.h"
#include "axion/linear_bf16.h"
#include "axion/linear_w4.h"
#include "axion/linear_w8.h"
#include "axion/norm.h"
#include "axion/rotary.h"
#include "axion/sampler.h"
#include "axion/softmax.h"

namespace axion {

struct KernelTable {
  const char* isa;  ///< "portable", "neon" or "sve2"
  const NormKernels& norm;
  const RotaryKernels& rotary;
  const ActivationKernels& activation;
  const SoftmaxKernels& softmax;
  const AttentionKernels& attention;
  const LinearBf16Kernels& linear_bf16;
  const LinearW4Kernels& linear_w4;
  const LinearW8Kernels& linear_w8;
  const SamplerKernels& sampler;
};

/// The table in use. AXION_ISA=portable|neon|sve2 overrides the choice for tests; asking for what the CPU does not
/// have ends the process with a sentence on stderr, before any instruction that would be illegal.
const KernelTable& kernels();

/// A table by name; nullptr where this build or this CPU does not have it.
const KernelTable* find_kernels(const char* isa);

}  // namespace axion
