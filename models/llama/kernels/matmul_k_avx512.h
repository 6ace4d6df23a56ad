// K-quants with AVX-512 VNNI: 16 rows of weights side by side, each in a 32-bit lane of its own.
#pragma once

#include <immintrin.h>

#include "matmul_k.h"

namespace puna {
namespace {

// A block of 256 weights of each of the rows, with what belongs to a row in its lane. Words hold four weights as bytes;
// those of Q4_K hold eight, as in the file: of sub-block 2 n in the low bits, of 2 n + 1 in the high ones.
struct alignas(64) Panel {
    int32_t words[kWords][kRows];
    int32_t scales[QK_K / 16][kRows];
    int16_t mins[4][kRows][2];
    float scale[kRows];
    float min_scale[kRows];
};

inline __m512i and_bytes(__m512i words, int mask) {
    return _mm512_and_si512(words, _mm512_set1_epi8((char) mask));
}

// The low four bits of each byte of `low`, the others of `high`.
inline __m512i merge_bytes(__m512i low, __m512i high) {
    constexpr int kSelect = 0xca;  // where the first has a bit set: the second, else the third
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8(0x0f), low, high, kSelect);
}

// Within each 128 bits: column i of four rows of four words in out[i].
inline void transpose_4(const __m512i * rows, __m512i * out) {
    const __m512i a = _mm512_unpacklo_epi32(rows[0], rows[1]), b = _mm512_unpackhi_epi32(rows[0], rows[1]);
    const __m512i c = _mm512_unpacklo_epi32(rows[2], rows[3]), d = _mm512_unpackhi_epi32(rows[2], rows[3]);
    out[0] = _mm512_unpacklo_epi64(a, c);
    out[1] = _mm512_unpackhi_epi64(a, c);
    out[2] = _mm512_unpacklo_epi64(b, d);
    out[3] = _mm512_unpackhi_epi64(b, d);
}

inline void transpose_16(__m512i (&m)[16]) {
    constexpr int kEven = 0x88, kOdd = 0xdd;
    __m512i t[16];
    for (int i = 0; i < 16; i += 4) {
        transpose_4(m + i, t + i);
    }
    for (int i = 0; i < 4; i++) {
        const __m512i a = _mm512_shuffle_i32x4(t[i], t[4 + i], kEven);
        const __m512i b = _mm512_shuffle_i32x4(t[8 + i], t[12 + i], kEven);
        const __m512i c = _mm512_shuffle_i32x4(t[i], t[4 + i], kOdd);
        const __m512i d = _mm512_shuffle_i32x4(t[8 + i], t[12 + i], kOdd);
        m[i] = _mm512_shuffle_i32x4(a, b, kEven);
        m[4 + i] = _mm512_shuffle_i32x4(c, d, kEven);
        m[8 + i] = _mm512_shuffle_i32x4(a, b, kOdd);
        m[12 + i] = _mm512_shuffle_i32x4(c, d, kOdd);
    }
}

// 64 bytes of each row.
inline void load_16_words(const Rows & rows, size_t offset, Prefetch & ahead, __m512i (&words)[16]) {
    const uint8_t * at = rows.first + offset;
#pragma GCC unroll 16
    for (int row = 0; row < kRows; row++) {
        ahead.line();
        words[row] = _mm512_loadu_si512(at);
        asm("" : "+v"(words[row]));  // else GCC loads it twice, mostly across two cache lines
        at += rows.stride;
    }
    transpose_16(words);
}

// 16 bytes of each row.
inline void load_4_words(const Rows & rows, size_t offset, Prefetch & ahead, __m512i (&words)[4]) {
    __m512i m[4];
    for (int i = 0; i < 4; i++) {
        const auto at = [&](int row) { return _mm_loadu_si128((const __m128i *) (rows[row] + offset)); };
        ahead.line();
        m[i] = _mm512_castsi128_si512(at(i));
        m[i] = _mm512_inserti32x4(m[i], at(4 + i), 1);
        m[i] = _mm512_inserti32x4(m[i], at(8 + i), 2);
        m[i] = _mm512_inserti32x4(m[i], at(12 + i), 3);
    }
    transpose_4(m, words);
}

inline void unpack_q4_k_scales(const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    static_assert(offsetof(block_q4_K, scales) == 4, "one load takes both scales of the block, and those within it");
    __m512i words[4];
    load_4_words(rows, offset, ahead, words);
    _mm512_store_ps(to.scale, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words[0])));
    _mm512_store_ps(to.min_scale, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(words[0], 16))));
    // Bytes: scales 0 to 3; mins 0 to 3; the low four bits of scales 4 to 7, and of mins 4 to 7 above them. Their high
    // two bits are those of the bytes before.
    const __m512i high_scales = and_bytes(_mm512_srli_epi32(words[1], 2), 0x30);
    const __m512i high_mins = and_bytes(_mm512_srli_epi32(words[2], 2), 0x30);
    const __m512i scales[] = {and_bytes(words[1], 0x3f), merge_bytes(words[3], high_scales)};
    const __m512i mins[] = {and_bytes(words[2], 0x3f), merge_bytes(_mm512_srli_epi32(words[3], 4), high_mins)};
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 4; i++) {
            const __m512i scale = _mm512_and_si512(_mm512_srli_epi32(scales[half], 8 * i), _mm512_set1_epi32(0xff));
            _mm512_store_si512(to.scales[4 * half + i], scale);
        }
        _mm512_store_si512(to.mins[2 * half], _mm512_and_si512(mins[half], _mm512_set1_epi16(0xff)));
        _mm512_store_si512(to.mins[2 * half + 1], _mm512_srli_epi16(mins[half], 8));
    }
}

inline void unpack(const Q4K &, const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    unpack_q4_k_scales(rows, offset, ahead, to);
    for (int half = 0; half < 2; half++) {
        __m512i words[16];
        load_16_words(rows, offset + offsetof(block_q4_K, qs) + 64 * half, ahead, words);
        for (int i = 0; i < 16; i++) {
            _mm512_store_si512(to.words[16 * half + i], words[i]);
        }
    }
}

inline void unpack_q6_k_scales(const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    alignas(32) uint16_t scale[kRows];
    for (int row = 0; row < kRows; row++) {
        memcpy(&scale[row], rows[row] + offset + offsetof(block_q6_K, d), sizeof(uint16_t));
    }
    _mm512_store_ps(to.scale, _mm512_cvtph_ps(_mm256_load_si256((const __m256i *) scale)));
    __m512i words[4];
    load_4_words(rows, offset + offsetof(block_q6_K, scales), ahead, words);
    for (int i = 0; i < 16; i++) {
        _mm512_store_si512(to.scales[i], _mm512_srai_epi32(_mm512_slli_epi32(words[i / 4], 24 - 8 * (i % 4)), 24));
    }
}

// 128 weights: 64 bytes with the low four bits, of weight i and i + 64 in byte i; 32 bytes with the high two bits, of
// weights i, i + 32, i + 64 and i + 96 in byte i.
inline void unpack_q6_k_half(const __m512i * low, const __m512i * high, int32_t (*to)[kRows]) {
    for (int i = 0; i < 8; i++) {
        const auto store = [&](int quarter, __m512i low_bits, __m512i high_bits) {
            _mm512_store_si512(to[8 * quarter + i], and_bytes(merge_bytes(low_bits, high_bits), 0x3f));
        };
        store(0, low[i], _mm512_slli_epi32(high[i], 4));
        store(1, low[8 + i], _mm512_slli_epi32(high[i], 2));
        store(2, _mm512_srli_epi32(low[i], 4), high[i]);
        store(3, _mm512_srli_epi32(low[8 + i], 4), _mm512_srli_epi32(high[i], 2));
    }
}

inline void unpack(const Q6K &, const Rows & rows, size_t offset, Prefetch & ahead, Panel & to) {
    unpack_q6_k_scales(rows, offset, ahead, to);
    ahead.line();  // 53 lines for 16 blocks of 210 bytes
    __m512i high[16];
    load_16_words(rows, offset + offsetof(block_q6_K, qh), ahead, high);
    for (int half = 0; half < 2; half++) {
        __m512i low[16];
        load_16_words(rows, offset + offsetof(block_q6_K, ql) + 64 * half, ahead, low);
        unpack_q6_k_half(low, high + 8 * half, to.words + 32 * half);
    }
}

// Word i of sub-block s, its weights as bytes.
template <bool kOdd> inline __m512i weights_at(const Q4K &, const Panel & panel, int s, int i) {
    const __m512i words = _mm512_load_si512(panel.words[8 * (s / 2) + i]);
    return and_bytes(kOdd ? _mm512_srli_epi32(words, 4) : words, 0x0f);
}

template <bool kOdd> inline __m512i weights_at(const Q6K &, const Panel & panel, int s, int i) {
    return _mm512_load_si512(panel.words[4 * s + i]);
}

// Adds to each lane the products of its four weights with the four inputs. As assembly, because GCC 12 loads the inputs
// in an instruction of its own: a quarter slower.
inline void add_dot(__m512i & sum, __m512i weights, const int32_t & inputs) {
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(weights), "m"(inputs));
}

// The products of a sub-block with T tokens, times its scale. kOdd: whether s is.
template <class Weights, int T, bool kOdd>
__attribute__((always_inline)) inline void add_sub_block(
    const Panel & panel, int s, const int32_t * inputs, __m512i (&sums)[T]) {
    constexpr int kSubBlockWords = kWords / Weights::kScales;
    const int32_t * const begins = inputs + kWords * T;
    __m512i part[T];
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
        part[t] = Weights::kBegins ? _mm512_set1_epi32(begins[s * T + t]) : _mm512_setzero_si512();
    }
#pragma GCC unroll 8
    for (int i = 0; i < kSubBlockWords; i++) {
        const __m512i weights = weights_at<kOdd>(Weights(), panel, s, i);
#pragma GCC unroll 8
        for (int t = 0; t < T; t++) {
            add_dot(part[t], weights, inputs[(s * kSubBlockWords + i) * T + t]);
        }
    }
    const __m512i scale = _mm512_load_si512(panel.scales[s]);
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
        sums[t] = _mm512_add_epi32(sums[t], _mm512_mullo_epi32(part[t], scale));
    }
}

template <class Weights, int T>
inline __m512 mins_of(const Panel & panel, const int32_t * pairs, __m512 input_scale) {
    __m512i sum = _mm512_setzero_si512();
    for (int i = 0; i < Weights::kPairs; i++) {
        sum = _mm512_dpwssd_epi32(sum, _mm512_load_si512(panel.mins[i]), _mm512_set1_epi32(pairs[i * T]));
    }
    return _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(_mm512_load_ps(panel.min_scale), input_scale));
}

// Adds the products of a block with T tokens to sums[t][row]. A function of its own, so that it has all registers.
template <class Weights, int T>
__attribute__((noinline)) void add_products(const Panel & panel, const int32_t * inputs, float (*sums)[kRows]) {
    const int32_t * const pairs = inputs + kWords * T;
    const float * const input_scales = (const float *) (inputs + (kInputWords<Weights> - 1) * T);
    __m512i whole[T];
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
        whole[t] = _mm512_setzero_si512();
    }
    for (int s = 0; s < Weights::kScales; s += 2) {
        add_sub_block<Weights, T, false>(panel, s, inputs, whole);
        add_sub_block<Weights, T, true>(panel, s + 1, inputs, whole);
    }
    const __m512 scale = _mm512_load_ps(panel.scale);
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
        const __m512 input_scale = _mm512_set1_ps(input_scales[t]);
        __m512 sum = _mm512_load_ps(sums[t]);
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[t]), _mm512_mul_ps(scale, input_scale), sum);
        if constexpr (Weights::kPairs > 0) {
            sum = _mm512_sub_ps(sum, mins_of<Weights, T>(panel, pairs + t, input_scale));
        }
        _mm512_store_ps(sums[t], sum);
    }
}

// The sums of a group's rows from row n_before on.
inline void store_rows(const float * sums, int n_before, float * to) {
    _mm512_mask_storeu_ps(to, (__mmask16) (0xffffu << n_before), _mm512_load_ps(sums));
}

// The largest absolute value, NaN where there is one: as integers, these are larger than all numbers.
inline float largest_of(const float * values) {
    __m512i largest = _mm512_setzero_si512();
    for (int i = 0; i < QK_K; i += 16) {
        largest = _mm512_max_epi32(largest, _mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(values + i))));
    }
    const int32_t bits = _mm512_reduce_max_epi32(largest);
    float found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

// values[i] * factor, rounded, as int8_t
inline void round_block(const float * values, float factor, int8_t * to) {
    for (int i = 0; i < QK_K; i += 16) {
        const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(values + i), _mm512_set1_ps(factor));
        _mm_storeu_si128((__m128i *) (to + i), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(scaled)));
    }
}

}  // namespace
}  // namespace puna
