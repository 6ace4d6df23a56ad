// Q8_0 weights: a tile of rows is interleaved, and multiplied with groups of tokens.
#pragma once

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"
#include "matmul_rows.h"

#ifdef PUNA_AVX2

namespace puna::q8 {
namespace {

constexpr int kBlock = QK8_0;
constexpr int kSteps = kBlock / 4;  // a vector of interleaved weights has 4 of each row

#ifdef PUNA_MATMUL_AVX512
constexpr int kVectors = 2;  // multiplied by the same inputs, as registers allow
#else
constexpr int kVectors = 1;
#endif

constexpr int kGroup = 6;       // tokens multiplied at once: as many as their sums have registers
constexpr int kTile = 32;       // rows that are interleaved, and stay in the L1 cache while they are multiplied
constexpr int kMaxBlocks = 18;  // of each of these rows; measured: 16 is as quick, 24 and 32 slower with long rows
constexpr int kStrip = kLanes * kVectors;

// kUnsignedInputs: whether add_products expects 128 more than each input.
#ifdef PUNA_MATMUL_AVX512
constexpr bool kUnsignedInputs = true;
inline Ints add_products(Ints sums, Ints inputs, Ints weights) {
    return (Ints) _mm512_dpbusd_epi32((__m512i) sums, (__m512i) inputs, (__m512i) weights);
}
#elif defined(__AVXVNNI__)
constexpr bool kUnsignedInputs = true;
inline Ints add_products(Ints sums, Ints inputs, Ints weights) {
    return (Ints) _mm256_dpbusd_avx_epi32((__m256i) sums, (__m256i) inputs, (__m256i) weights);
}
#else
// The inputs take the weights' signs: |weight| is at most 128 and |input| 127, of which two products fit into 16 bits.
constexpr bool kUnsignedInputs = false;
inline Ints add_products(Ints sums, Ints inputs, Ints weights) {
    const __m256i w = (__m256i) weights;
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8((__m256i) inputs, w));
    return sums + (Ints) _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#endif

// A block of a strip's rows, interleaved.
struct StripBlock {
    Ints quants[kSteps][kVectors];
    Floats scales[kVectors];
    Ints start[kVectors];  // of sums: minus 128 times the weights, where inputs are unsigned
};

struct Tile {
    StripBlock strips[kTile / kStrip][kMaxBlocks];
};

// Of a row.
struct Blocks {
    int64_t first, last;  // the last is not one of them

    int64_t n() const { return last - first; }
};

// `at`: a block of the first of a vector's rows.
inline void interleave(const uint8_t * at, size_t stride, StripBlock & to, int vector, uint16_t * scales) {
    for (int i = 0; i < kLanes; i++) {
        memcpy(&scales[i], at + i * stride + offsetof(block_q8_0, d), sizeof(uint16_t));
    }
    Ints steps[kSteps], sum = {};
    load_words(at + offsetof(block_q8_0, qs), stride, steps);
    load_words(at + offsetof(block_q8_0, qs) + 16, stride, steps + 4);
    for (int i = 0; i < kSteps; i++) {
        to.quants[i][vector] = steps[i];
        sum = kUnsignedInputs ? add_products(sum, all((int32_t) 0x80808080), steps[i]) : sum;
    }
    to.start[vector] = -sum;
}

// `next_bytes`: of the next weights, fetched with each block.
inline void interleave(Rows rows, Blocks blocks, Prefetch & ahead, size_t next_bytes, Tile & tile) {
    alignas(64) uint16_t scales[kMaxBlocks][kLanes];
    for (int i = 0; i < kTile; i += kLanes) {
        const uint8_t * from = rows[i] + blocks.first * sizeof(block_q8_0);
        StripBlock * const strip = tile.strips[i / kStrip];
        const int vector = i / kLanes % kVectors;
        for (int64_t block = 0; block < blocks.n(); block++, from += sizeof(block_q8_0)) {
            ahead.bytes(next_bytes);
            interleave(from, rows.stride, strip[block], vector, scales[block]);
        }
        // Afterwards: a vector cannot be loaded before all that was stored into it has reached the cache.
        for (int64_t block = 0; block < blocks.n(); block++) {
            strip[block].scales[vector] = load(scales[block]);
        }
    }
}

// What a strip of rows gives for N tokens. The results are those of these blocks, or have them added.
template <int N>
void multiply_strip(const StripBlock * weights, int64_t n_blocks, const uint8_t * quants, const float * scales,
                    float * const * results, const Mask * masks, bool adds, Prefetch & ahead, size_t next_bytes) {
    Floats totals[N][kVectors];
    for (int t = 0; t < N; t++) {
        for (int v = 0; v < kVectors; v++) {
            totals[t][v] = adds ? load(results[t] + v * kLanes, masks[v]) : all(0.0f);
        }
    }
    for (int64_t block = 0; block < n_blocks; block++, weights++, quants += N * kBlock, scales += N) {
        ahead.bytes(next_bytes);
        Ints sums[N][kVectors];
        for (int t = 0; t < N; t++) {
            for (int v = 0; v < kVectors; v++) {
                sums[t][v] = weights->start[v];
            }
        }
        PUNA_UNROLL for (int step = 0; step < kSteps; step++) {
            for (int t = 0; t < N; t++) {
                int32_t four;
                memcpy(&four, quants + t * kBlock + step * 4, sizeof four);
                const Ints inputs = all(four);
                for (int v = 0; v < kVectors; v++) {
                    sums[t][v] = add_products(sums[t][v], inputs, weights->quants[step][v]);
                }
            }
        }
        for (int t = 0; t < N; t++) {
            for (int v = 0; v < kVectors; v++) {
                const Floats scale = weights->scales[v] * all(scales[t]);
                totals[t][v] = multiply_add(to_floats(sums[t][v]), scale, totals[t][v]);
            }
        }
    }
    for (int t = 0; t < N; t++) {
        for (int v = 0; v < kVectors; v++) {
            store(results[t] + v * kLanes, totals[t][v], masks[v]);
        }
    }
}

using MultiplyStrip = decltype(&multiply_strip<1>);
constexpr MultiplyStrip kMultiplyStrip[kGroup + 1] = {
    nullptr,           multiply_strip<1>, multiply_strip<2>, multiply_strip<3>,
    multiply_strip<4>, multiply_strip<5>, multiply_strip<6>,
};

}  // namespace
}  // namespace puna::q8

#endif
