/// Buffers that end (or begin) at a page no one may touch: a read or write of one element too many ends the test.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

namespace axion::test {

/// Which end of the buffer touches a forbidden page. The other end is bordered by one too, up to a page away.
enum class Guard { kAfter, kBefore };

/// `count` elements of T between two PROT_NONE pages, filled with 0xA5 bytes (a tiny negative float, so that reading
/// what was never written shows). With Guard::kAfter the last element ends at the forbidden page, so an odd count of
/// 2-byte elements starts at an odd multiple of 2: the misaligned bases that kernels must take.
template <typename T>
class Guarded {
  static_assert(std::is_trivially_copyable_v<T>, "elements live in raw pages");

 public:
  explicit Guarded(std::size_t count, Guard guard = Guard::kAfter) : count_(count) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inner = (count * sizeof(T) + page - 1) / page * page;
    mapped_ = inner + 2 * page;
    void* base = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
      std::perror("Guarded: mmap");
      std::abort();
    }
    base_ = static_cast<char*>(base);
    if (inner > 0) {
      if (mprotect(base_ + page, inner, PROT_READ | PROT_WRITE) != 0) {
        std::perror("Guarded: mprotect");
        std::abort();
      }
      std::memset(base_ + page, 0xA5, inner);
    }
    data_ = reinterpret_cast<T*>(base_ + page + (guard == Guard::kAfter ? inner - count * sizeof(T) : 0));
  }

  explicit Guarded(const std::vector<T>& values, Guard guard = Guard::kAfter) : Guarded(values.size(), guard) {
    if (!values.empty()) {
      std::memcpy(data_, values.data(), values.size() * sizeof(T));
    }
  }

  Guarded(Guarded&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), mapped_(other.mapped_), count_(other.count_), data_(other.data_) {}
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  Guarded& operator=(Guarded&&) = delete;
  ~Guarded() {
    if (base_ != nullptr) {
      munmap(base_, mapped_);
    }
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + count_; }
  std::vector<T> copy() const { return std::vector<T>(begin(), end()); }

 private:
  char* base_ = nullptr;
  std::size_t mapped_ = 0;
  std::size_t count_ = 0;
  T* data_ = nullptr;
};

}  // namespace axion::test
