// What the kernels for K-quants share: how weights are packed, and how inputs lie in the work memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"

namespace puna {
namespace {

// Tokens multiplied at a time: a sum of each, and the part of it not yet scaled, stay in registers.
constexpr int kTile = 8;

// Weights and inputs are multiplied four bytes at a time. This is for a block of 256.
constexpr int kWords = QK_K / 4;

// 4 bits and a scale of 6 bits for 32 weights, less a min of 6 bits for the same 32.
struct Q4K {
    using Block = block_q4_K;
    static constexpr int kScales = 8;
    static constexpr bool kHasMins = true;
    static constexpr int kSums = 4;
};

// 6 bits less 32, and a scale of 8 bits for 16 weights.
struct Q6K {
    using Block = block_q6_K;
    static constexpr int kScales = 16;
    static constexpr bool kHasMins = false;
    static constexpr int kSums = 16;
};

// A block of inputs of the T tokens of a tile: each array has T times as many elements, those of a word side by side.
//   int8_t values[kWords][4]
//   int32_t sums[kSums]: with mins, the inputs' sums for 32, two of 16 bits in each (kSumPairs); without, those for 16
//                        times -32, where the products of 16 weights begin, as these are stored 32 too large
//   float scale
template <class Weights> constexpr int kInputWords = kWords + Weights::kSums + 1;

// The sub-blocks whose mins, and sums of inputs, share a word: so they come out of the packed mins at the least cost.
constexpr int kSumPairs[4][2] = {{0, 2}, {1, 3}, {4, 6}, {5, 7}};

// A group of rows that are multiplied side by side.
struct Rows {
    const uint8_t * first;
    size_t stride;

    const uint8_t * operator[](int row) const { return first + row * stride; }
};

// Fetches memory in order, a cache line at a time. The calls are spread: many at once keep the other loads waiting.
class Prefetch {
  public:
    explicit Prefetch(const uint8_t * from) : at_((const char *) from) {}

    void line() {
        __builtin_prefetch(at_, 0, 3);
        at_ += kLine;
    }

    static constexpr int kLine = 64;

  private:
    const char * at_;
};

}  // namespace
}  // namespace puna
