// What the kernels for K-quants share: how weights are packed, and how inputs lie in the work memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512VNNI__)
#define PUNA_K_AVX512
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define PUNA_K_AVX2
#endif

namespace puna {
namespace {

// Rows multiplied side by side, one in each lane, and tokens at a time: a sum of each, and the part of it not yet
// scaled, stay in registers.
#ifdef PUNA_K_AVX512
constexpr int kRows = 16, kTile = 8;
#else
constexpr int kRows = 8, kTile = 4;
#endif

// Weights and inputs are multiplied four bytes at a time. This is for a block of 256.
constexpr int kWords = QK_K / 4;

// 4 bits and a scale of 6 bits for 32 weights, less a min of 6 bits for the same 32.
struct Q4K {
    using Block = block_q4_K;
    static constexpr int kScales = 8;
    static constexpr int kPairs = 4;
    static constexpr int kBegins = 0;
};

// 6 bits less 32, and a scale of 8 bits for 16 weights.
struct Q6K {
    using Block = block_q6_K;
    static constexpr int kScales = 16;
#ifdef PUNA_K_AVX512
    static constexpr int kPairs = 0;
    static constexpr int kBegins = 16;
#else
    static constexpr int kPairs = 8;
    static constexpr int kBegins = 0;
#endif
};

// A block of inputs of the T tokens of a tile: each array has T times as many elements, those of a word side by side.
//   int8_t values[kWords][4]
//   int16_t pairs[kPairs][2]: sums of a sub-block's inputs, for mins, and for what weights are stored too large by;
//                             pair i of sub-blocks s = i / 2 * 4 + i % 2 and s + 2, as mins lie in the file
//   int32_t begins[kBegins]: instead, -32 times the sums, where 32-bit sums of products begin
//   float scale
template <class Weights> constexpr int kInputWords = kWords + Weights::kPairs + Weights::kBegins + 1;

constexpr int first_of_pair(int i) {
    return i / 2 * 4 + i % 2;
}

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
