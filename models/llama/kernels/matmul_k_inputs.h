// Inputs of K-quants in the work memory: rounded to 8 bits with a scale for 256, as llama.cpp does it, with the sums
// that mins are multiplied by.
#pragma once

#include <algorithm>
#include <cmath>

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"
#include "matmul_rows.h"

#ifdef PUNA_AVX2

namespace puna::k {
namespace {

// Rows multiplied side by side, one in each lane, and tokens at a time: a sum of each, and the part of it not yet
// scaled, stay in registers.
constexpr int kRows = kLanes;
#ifdef PUNA_MATMUL_AVX512
constexpr int kTile = 8;
#else
constexpr int kTile = 4;
#endif

// Weights and inputs are multiplied four bytes at a time. This is for a block of 256.
constexpr int kWords = QK_K / 4;

// 4 bits and a scale of 6 bits for 32 weights, less a min of 6 bits for the same 32.
struct Q4K {
    using Block = block_q4_K;
    static constexpr int kScales = 8;
};

// 6 bits less 32, and a scale of 8 bits for 16 weights.
struct Q6K {
    using Block = block_q6_K;
    static constexpr int kScales = 16;
};

// A block of inputs of the T tokens of a tile: each array has T times as many elements, those of a word side by side.
//   int8_t values[kWords][4]
//   int16_t pairs[kPairs][2]: sums of the inputs of two sub-blocks, for mins, and for what Q6_K is stored too large by
//   float scale
template <class Weights> constexpr int kPairs = Weights::kScales / 2;
template <class Weights> constexpr int kInputWords = kWords + kPairs<Weights> + 1;

// A pair are this sub-block and the second after it: so the mins of Q4_K lie in the file, every other one in 16 bits.
constexpr int first_of_pair(int i) {
    return i / 2 * 4 + i % 2;
}

// The largest absolute value, NaN where there is one: as integers, these are larger than all numbers.
inline float largest_of(const float * values) {
    int32_t largest = 0;
    for (int i = 0; i < QK_K; i++) {
        int32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        largest = std::max(largest, bits & INT32_MAX);
    }
    float found;
    memcpy(&found, &largest, sizeof found);
    return found;
}

// Numbers from -127 to 127, values * factor, as the nearest integers. Near 1.5 * 2^23 the last bit of a float is 1.
inline void round_to_bytes(const float * values, float factor, int8_t * to) {
    for (int i = 0; i < QK_K; i++) {
        const float shifted = std::fma(values[i], factor, 12582912.0f);
        int32_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        to[i] = (int8_t) bits;
    }
}

template <class Weights> int16_t sum_of(const int8_t * values, int sub_block) {
    constexpr int n = QK_K / Weights::kScales;
    int32_t sum = 0;
    for (int i = 0; i < n; i++) {
        sum += values[sub_block * n + i];
    }
    return (int16_t) sum;
}

// A block of one token, of a tile with n_apart of them.
template <class Weights> void round_block(const float * inputs, int n_apart, int32_t * to) {
    constexpr float kLeast = 1e-36f;  // the inverse of smaller numbers may be infinite
    const float largest = largest_of(inputs);
    int8_t values[QK_K];
    round_to_bytes(inputs, largest < kLeast ? 0.0f : 127 / largest, values);
    for (int i = 0; i < kWords; i++) {
        memcpy(to + i * n_apart, values + 4 * i, 4);
    }
    to += kWords * n_apart;
    for (int i = 0; i < kPairs<Weights>; i++) {
        const int first = first_of_pair(i);
        const int16_t pair[] = {sum_of<Weights>(values, first), sum_of<Weights>(values, first + 2)};
        memcpy(to + i * n_apart, pair, sizeof pair);
    }
    const float scale = largest / 127;
    memcpy(to + kPairs<Weights> * n_apart, &scale, sizeof scale);
}

}  // namespace
}  // namespace puna::k

#endif
