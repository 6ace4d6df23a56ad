// K-quants, several tokens: rows of weights side by side, each in a 32-bit lane of its own.
#pragma once

#include "matmul_k_inputs.h"

#ifdef PUNA_AVX2

namespace puna::k {
namespace {

// A block of 256 weights of each of the rows, with what belongs to a row in its lane. Words hold four weights as bytes;
// those of Q4_K hold eight, as in the file: of sub-block 2 n in the low bits, of 2 n + 1 in the high ones.
struct Panel {
    Ints words[kWords];
    Ints scales[QK_K / 16];  // as add_scaled takes them
    Ints mins[8];            // two numbers of 16 bits: what a pair of sums is multiplied by
    Floats scale, min_scale;
};

#ifdef PUNA_MATMUL_AVX512

// The products of a sub-block are added in 32 bits.
template <class Weights> constexpr int kWordsAtOnce = kWords / Weights::kScales;

inline Ints to_factor(Ints scale) { return scale; }
inline Ints add_scaled(Ints sum, Ints part, Ints factor) { return sum + part * factor; }

// Adds to each lane the products of its four weights with the four inputs. As assembly, because GCC 12 loads the inputs
// in an instruction of its own: a quarter slower.
inline void add_products_of_word(Ints & part, Ints weights, const int32_t & inputs) {
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(part) : "v"(weights), "m"(inputs));
}

#else

// In 16 bits: 8 words of weights up to 15, or 2 of up to 63, give at most 8 * 2 * 15 * 128 or 2 * 2 * 63 * 128.
template <class Weights> constexpr int kWordsAtOnce = Weights::kScales == 8 ? 8 : 2;

inline Ints to_factor(Ints scale) { return (scale & 0xffff) | scale << 16; }
inline Ints add_scaled(Ints sum, Ints part, Ints factor) { return add_pair_products(sum, part, factor); }

inline void add_products_of_word(Ints & part, Ints weights, const int32_t & inputs) {
    part = (Ints) ((Shorts) part + (Shorts) _mm256_maddubs_epi16((__m256i) weights, (__m256i) all(inputs)));
}

#endif

// 16 bytes of each row.
inline void read_words(const Rows & rows, size_t offset, Prefetch & ahead, Ints * words) {
    load_words(rows.first + offset, rows.stride, words);
    for (int i = 0; i < kRows * 16 / Prefetch::kLine; i++) {
        ahead.line();
    }
}

// Signed bytes, four of each row.
inline void unpack_scales(Ints bytes, Ints * to) {
    for (int i = 0; i < 4; i++) {
        to[i] = to_factor(bytes << (24 - 8 * i) >> 24);
    }
}

inline void unpack_pairs(Ints bytes, Ints * to) {
    to[0] = (Ints) ((Shorts) bytes << 8 >> 8);
    to[1] = (Ints) ((Shorts) bytes >> 8);
}

inline void unpack(const Q4K &, const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    static_assert(offsetof(block_q4_K, scales) == 4, "one load takes both scales of the block, and those within it");
    Ints head[4];
    read_words(rows, offset, ahead, head);
    to.scale = from_low_halves(head[0]);
    to.min_scale = from_low_halves(head[0] >> 16);
    // Bytes: scales 0 to 3; mins 0 to 3; the low four bits of scales 4 to 7, and of mins 4 to 7 above them. Their high
    // two bits are those of the bytes before.
    unpack_scales(head[1] & 0x3f3f3f3f, to.scales);
    unpack_scales((head[3] & 0x0f0f0f0f) | (head[1] >> 2 & 0x30303030), to.scales + 4);
    unpack_pairs(head[2] & 0x3f3f3f3f, to.mins);
    unpack_pairs((head[3] >> 4 & 0x0f0f0f0f) | (head[2] >> 2 & 0x30303030), to.mins + 2);
    for (int i = 0; i < kWords / 2; i += 4) {
        read_words(rows, offset + offsetof(block_q4_K, qs) + 4 * i, ahead, to.words + i);
    }
}

inline void unpack_q6_k_scales(const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    uint16_t scale[kRows];
    for (int row = 0; row < kRows; row++) {
        memcpy(&scale[row], rows[row] + offset + offsetof(block_q6_K, d), sizeof scale[row]);
    }
    to.scale = load(scale);
    to.min_scale = to.scale * 32.0f;  // by which weights are stored too large
    Ints words[4];
    read_words(rows, offset + offsetof(block_q6_K, scales), ahead, words);
    for (int i = 0; i < 4; i++) {
        unpack_scales(words[i], to.scales + 4 * i);
        unpack_pairs(words[i], to.mins + 2 * i);
    }
}

// 128 weights: 64 bytes with the low four bits, of weight i and i + 64 in byte i; 32 bytes with the high two bits, of
// weights i, i + 32, i + 64 and i + 96 in byte i.
inline void unpack(const Q6K &, const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    unpack_q6_k_scales(rows, offset, ahead, to);
    ahead.line();  // of a block's 210 bytes, 208 are loaded as words
    for (int i = 0; i < 16; i += 4) {
        const int half = i / 8, first = i % 8;
        const size_t low_at = offset + offsetof(block_q6_K, ql) + 64 * half + 4 * first;
        Ints low[4], next_low[4], high[4];
        read_words(rows, low_at, ahead, low);
        read_words(rows, low_at + 32, ahead, next_low);
        read_words(rows, offset + offsetof(block_q6_K, qh) + 4 * i, ahead, high);
        for (int w = 0; w < 4; w++) {
            Ints * const at = to.words + 32 * half + first + w;
            at[0] = (low[w] & 0x0f0f0f0f) | (high[w] << 4 & 0x30303030);
            at[8] = (next_low[w] & 0x0f0f0f0f) | (high[w] << 2 & 0x30303030);
            at[16] = (low[w] >> 4 & 0x0f0f0f0f) | (high[w] & 0x30303030);
            at[24] = (next_low[w] >> 4 & 0x0f0f0f0f) | (high[w] >> 2 & 0x30303030);
        }
    }
}

// Word i of sub-block s, its weights as bytes. kOdd: whether s is.
template <bool kOdd> inline Ints weights_at(const Q4K &, const Panel & panel, int s, int i) {
    const Ints words = panel.words[8 * (s / 2) + i];
    return (kOdd ? words >> 4 : words) & 0x0f0f0f0f;
}

template <bool kOdd> inline Ints weights_at(const Q6K &, const Panel & panel, int s, int i) {
    return panel.words[4 * s + i];
}

// The products of a sub-block with T tokens, times its scale.
template <class Weights, int T, bool kOdd>
__attribute__((always_inline)) inline void add_sub_block(
    const Panel & panel, int s, const int32_t * inputs, Ints (&sums)[T]) {
    constexpr int kSubBlockWords = kWords / Weights::kScales;
    PUNA_UNROLL for (int first = 0; first < kSubBlockWords; first += kWordsAtOnce<Weights>) {
        Ints parts[T] = {};
        PUNA_UNROLL for (int i = first; i < first + kWordsAtOnce<Weights>; i++) {
            const Ints weights = weights_at<kOdd>(Weights(), panel, s, i);
            PUNA_UNROLL for (int t = 0; t < T; t++) {
                add_products_of_word(parts[t], weights, inputs[(s * kSubBlockWords + i) * T + t]);
            }
        }
        PUNA_UNROLL for (int t = 0; t < T; t++) {
            sums[t] = add_scaled(sums[t], parts[t], panel.scales[s]);
        }
    }
}

// What mins take away from a token's sums.
template <class Weights, int T> inline Floats mins_of(const Panel & panel, const int32_t * pairs) {
    Ints sum = {};
    for (int i = 0; i < kPairs<Weights>; i++) {
        sum = add_pair_products(sum, panel.mins[i], all(pairs[i * T]));
    }
    return to_floats(sum) * panel.min_scale;
}

// Adds the products of a block with T tokens to sums[token][row]. A function of its own, so that it has all registers.
template <class Weights, int T>
__attribute__((noinline)) void add_products(const Panel & panel, const int32_t * inputs, float (*sums)[kRows]) {
    const int32_t * const pairs = inputs + kWords * T;
    const float * const input_scales = (const float *) (pairs + kPairs<Weights> * T);
    Ints whole[T] = {};
    for (int s = 0; s < Weights::kScales; s += 2) {
        add_sub_block<Weights, T, false>(panel, s, inputs, whole);
        add_sub_block<Weights, T, true>(panel, s + 1, inputs, whole);
    }
    PUNA_UNROLL for (int t = 0; t < T; t++) {
        const Floats scaled = to_floats(whole[t]) * panel.scale - mins_of<Weights, T>(panel, pairs + t);
        store(sums[t], multiply_add(scaled, all(input_scales[t]), load(sums[t])));
    }
}

// The same for any number of tokens up to T.
template <class Weights, int T = kTile>
void add_tile(int n_tokens, const Panel & panel, const int32_t * inputs, float (*sums)[kRows]) {
    if constexpr (T > 1) {
        if (n_tokens < T) {
            return add_tile<Weights, T - 1>(n_tokens, panel, inputs, sums);
        }
    }
    add_products<Weights, T>(panel, inputs, sums);
}

}  // namespace
}  // namespace puna::k

#endif
