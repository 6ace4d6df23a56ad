// K-quants with AVX2: 8 rows of weights side by side, each in a 32-bit lane of its own.
#pragma once

#include <immintrin.h>

#include "matmul_k.h"

namespace puna {
namespace {

// A block of 256 weights of each of the rows, with what belongs to a row in its lane. Words hold four weights as bytes;
// those of Q4_K hold eight, as in the file: of sub-block 2 n in the low bits, of 2 n + 1 in the high ones.
struct alignas(32) Panel {
    int32_t words[kWords][kRows];
    int16_t scales[QK_K / 16][kRows][2];  // twice the same
    int16_t mins[8][kRows][2];            // what the pairs of sums are multiplied by
    float scale[kRows];
    float min_scale[kRows];
};

inline __m256i load(const void * from) {
    return _mm256_load_si256((const __m256i *) from);
}

inline void store(void * to, __m256i values) {
    _mm256_store_si256((__m256i *) to, values);
}

inline __m256i and_bytes(__m256i words, int mask) {
    return _mm256_and_si256(words, _mm256_set1_epi8((char) mask));
}

// Within each 128 bits: column i of four rows of four words in out[i].
inline void transpose_4(const __m256i * rows, __m256i * out) {
    const __m256i a = _mm256_unpacklo_epi32(rows[0], rows[1]), b = _mm256_unpackhi_epi32(rows[0], rows[1]);
    const __m256i c = _mm256_unpacklo_epi32(rows[2], rows[3]), d = _mm256_unpackhi_epi32(rows[2], rows[3]);
    out[0] = _mm256_unpacklo_epi64(a, c);
    out[1] = _mm256_unpackhi_epi64(a, c);
    out[2] = _mm256_unpacklo_epi64(b, d);
    out[3] = _mm256_unpackhi_epi64(b, d);
}

// 32 bytes of each row.
inline void load_8_words(const Rows & rows, size_t offset, Prefetch & ahead, __m256i (&words)[8]) {
    __m256i m[8], t[8];
    for (int row = 0; row < kRows; row++) {
        m[row] = _mm256_loadu_si256((const __m256i *) (rows[row] + offset));
    }
    for (int i = 0; i < 4; i++) {
        ahead.line();
    }
    transpose_4(m, t);
    transpose_4(m + 4, t + 4);
    for (int i = 0; i < 4; i++) {
        words[i] = _mm256_permute2x128_si256(t[i], t[4 + i], 0x20);
        words[4 + i] = _mm256_permute2x128_si256(t[i], t[4 + i], 0x31);
    }
}

// 16 bytes of each row.
inline void load_4_words(const Rows & rows, size_t offset, Prefetch & ahead, __m256i (&words)[4]) {
    __m256i m[4];
    for (int i = 0; i < 4; i++) {
        const auto at = [&](int row) { return _mm_loadu_si128((const __m128i *) (rows[row] + offset)); };
        m[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(at(i)), at(4 + i), 1);
    }
    ahead.line();
    ahead.line();
    transpose_4(m, words);
}

// The low 16 bits of each word as numbers of half precision.
inline __m256 from_halves(__m256i words) {
    const __m256i low = _mm256_and_si256(words, _mm256_set1_epi32(0xffff));
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}

// Signed bytes, four of each row, as scales.
inline void store_scales(__m256i bytes, int16_t (*to)[kRows][2]) {
    for (int i = 0; i < 4; i++) {
        const int first = 0x00800080 | i << 8 | i << 24;  // byte i to the high half of 16 bits, twice
        const __m128i rows = _mm_setr_epi32(0, 0x04000400, 0x08000800, 0x0c000c00);
        const __m256i order = _mm256_broadcastsi128_si256(_mm_add_epi32(rows, _mm_set1_epi32(first)));
        store(to[i], _mm256_srai_epi16(_mm256_shuffle_epi8(bytes, order), 8));
    }
}

// Signed bytes, four of each row, as the two that make a pair, twice.
inline void store_pairs(__m256i bytes, int16_t (*to)[kRows][2]) {
    store(to[0], _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8));
    store(to[1], _mm256_srai_epi16(bytes, 8));
}

inline void unpack_q4_k_scales(const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    static_assert(offsetof(block_q4_K, scales) == 4, "one load takes both scales of the block, and those within it");
    __m256i words[4];
    load_4_words(rows, offset, ahead, words);
    _mm256_store_ps(to.scale, from_halves(words[0]));
    _mm256_store_ps(to.min_scale, from_halves(_mm256_srli_epi32(words[0], 16)));
    // Bytes: scales 0 to 3; mins 0 to 3; the low four bits of scales 4 to 7, and of mins 4 to 7 above them. Their high
    // two bits are those of the bytes before.
    const auto high = [&](__m256i word) { return and_bytes(_mm256_srli_epi32(word, 2), 0x30); };
    store_scales(and_bytes(words[1], 0x3f), to.scales);
    store_scales(_mm256_or_si256(and_bytes(words[3], 0x0f), high(words[1])), to.scales + 4);
    store_pairs(and_bytes(words[2], 0x3f), to.mins);
    store_pairs(_mm256_or_si256(and_bytes(_mm256_srli_epi32(words[3], 4), 0x0f), high(words[2])), to.mins + 2);
}

inline void unpack(const Q4K &, const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    unpack_q4_k_scales(rows, offset, ahead, to);
    for (int i = 0; i < 4; i++) {
        __m256i words[8];
        load_8_words(rows, offset + offsetof(block_q4_K, qs) + 32 * i, ahead, words);
        for (int w = 0; w < 8; w++) {
            store(to.words[8 * i + w], words[w]);
        }
    }
}

inline void unpack_q6_k_scales(const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    alignas(16) uint16_t scale[kRows];
    for (int row = 0; row < kRows; row++) {
        memcpy(&scale[row], rows[row] + offset + offsetof(block_q6_K, d), sizeof(uint16_t));
    }
    const __m256 scales = _mm256_cvtph_ps(_mm_load_si128((const __m128i *) scale));
    _mm256_store_ps(to.scale, scales);
    _mm256_store_ps(to.min_scale, _mm256_mul_ps(scales, _mm256_set1_ps(32)));  // by which weights are stored too large
    __m256i words[4];
    load_4_words(rows, offset + offsetof(block_q6_K, scales), ahead, words);
    for (int i = 0; i < 4; i++) {
        store_scales(words[i], to.scales + 4 * i);
        store_pairs(words[i], to.mins + 2 * i);
    }
}

// 128 weights: 64 bytes with the low four bits, of weight i and i + 64 in byte i; 32 bytes with the high two bits, of
// weights i, i + 32, i + 64 and i + 96 in byte i.
inline void unpack(const Q6K &, const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    unpack_q6_k_scales(rows, offset, ahead, to);
    ahead.line();  // 27 lines for 8 blocks of 210 bytes
    for (int half = 0; half < 2; half++) {
        __m256i high[8];
        load_8_words(rows, offset + offsetof(block_q6_K, qh) + 32 * half, ahead, high);
        for (int i = 0; i < 2; i++) {
            __m256i low[8];
            load_8_words(rows, offset + offsetof(block_q6_K, ql) + 64 * half + 32 * i, ahead, low);
            for (int w = 0; w < 8; w++) {
                int32_t (*const at)[kRows] = to.words + 32 * half + 8 * i + w;
                const __m256i bits = i == 0 ? high[w] : _mm256_srli_epi32(high[w], 2);
                const __m256i first = and_bytes(_mm256_slli_epi32(bits, 4), 0x30), second = and_bytes(bits, 0x30);
                store(at, _mm256_or_si256(and_bytes(low[w], 0x0f), first));
                store(at + 16, _mm256_or_si256(and_bytes(_mm256_srli_epi32(low[w], 4), 0x0f), second));
            }
        }
    }
}

// Word i of sub-block s, its weights as bytes.
template <bool kOdd> inline __m256i weights_at(const Q4K &, const Panel & panel, int s, int i) {
    const __m256i words = load(panel.words[8 * (s / 2) + i]);
    return and_bytes(kOdd ? _mm256_srli_epi32(words, 4) : words, 0x0f);
}

template <bool kOdd> inline __m256i weights_at(const Q6K &, const Panel & panel, int s, int i) {
    return load(panel.words[4 * s + i]);
}

// Words whose products with inputs are added in 16 bits: 8 words of weights up to 15, or 2 of up to 63, give at most
// 8 * 2 * 15 * 128 or 2 * 2 * 63 * 128.
template <class Weights> constexpr int kWordsIn16Bits = Weights::kScales == 8 ? 8 : 2;

// The products of a sub-block with T tokens, times its scale. kOdd: whether s is.
template <class Weights, int T, bool kOdd>
__attribute__((always_inline)) inline void add_sub_block(
    const Panel & panel, int s, const int32_t * inputs, __m256i (&sums)[T]) {
    constexpr int kSubBlockWords = kWords / Weights::kScales, kEach = kWordsIn16Bits<Weights>;
    const __m256i scale = load(panel.scales[s]);
#pragma GCC unroll 8
    for (int first = 0; first < kSubBlockWords; first += kEach) {
        __m256i part[T];
#pragma GCC unroll 8
        for (int i = first; i < first + kEach; i++) {
            const __m256i weights = weights_at<kOdd>(Weights(), panel, s, i);
#pragma GCC unroll 8
            for (int t = 0; t < T; t++) {
                const __m256i input = _mm256_set1_epi32(inputs[(s * kSubBlockWords + i) * T + t]);
                const __m256i products = _mm256_maddubs_epi16(weights, input);
                part[t] = i == first ? products : _mm256_add_epi16(part[t], products);
            }
        }
#pragma GCC unroll 8
        for (int t = 0; t < T; t++) {
            sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(part[t], scale));
        }
    }
}

template <class Weights, int T>
inline __m256 mins_of(const Panel & panel, const int32_t * pairs, __m256 input_scale) {
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < Weights::kPairs; i++) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(load(panel.mins[i]), _mm256_set1_epi32(pairs[i * T])));
    }
    return _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(_mm256_load_ps(panel.min_scale), input_scale));
}

// Adds the products of a block with T tokens to sums[t][row]. A function of its own, so that it has all registers.
template <class Weights, int T>
__attribute__((noinline)) void add_products(const Panel & panel, const int32_t * inputs, float (*sums)[kRows]) {
    const int32_t * const pairs = inputs + kWords * T;
    const float * const input_scales = (const float *) (inputs + (kInputWords<Weights> - 1) * T);
    __m256i whole[T];
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
        whole[t] = _mm256_setzero_si256();
    }
    for (int s = 0; s < Weights::kScales; s += 2) {
        add_sub_block<Weights, T, false>(panel, s, inputs, whole);
        add_sub_block<Weights, T, true>(panel, s + 1, inputs, whole);
    }
    const __m256 scale = _mm256_load_ps(panel.scale);
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
        const __m256 input_scale = _mm256_set1_ps(input_scales[t]);
        __m256 sum = _mm256_load_ps(sums[t]);
        sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[t]), _mm256_mul_ps(scale, input_scale), sum);
        _mm256_store_ps(sums[t], _mm256_sub_ps(sum, mins_of<Weights, T>(panel, pairs + t, input_scale)));
    }
}

// The sums of a group's rows from row n_before on.
inline void store_rows(const float * sums, int n_before, float * to) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(to, _mm256_cmpgt_epi32(lanes, _mm256_set1_epi32(n_before - 1)), _mm256_load_ps(sums));
}

// The largest absolute value, NaN where there is one: as integers, these are larger than all numbers.
inline float largest_of(const float * values) {
    const __m256i no_sign = _mm256_set1_epi32(0x7fffffff);
    alignas(32) int32_t each[8];
    __m256i largest = _mm256_setzero_si256();
    for (int i = 0; i < QK_K; i += 8) {
        const __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(values + i));
        largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, no_sign));
    }
    store(each, largest);
    int32_t bits = 0;
    for (int32_t one : each) {
        bits = one > bits ? one : bits;
    }
    float found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

// values[i] * factor, rounded, as int8_t
inline void round_block(const float * values, float factor, int8_t * to) {
    for (int i = 0; i < QK_K; i += 32) {
        const auto at = [&](int n) {
            return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(values + i + 8 * n), _mm256_set1_ps(factor)));
        };
        const __m256i a = _mm256_packs_epi32(at(0), at(1)), b = _mm256_packs_epi32(at(2), at(3));
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order);
        _mm256_storeu_si256((__m256i *) (to + i), packed);
    }
}

}  // namespace
}  // namespace puna
