// Vectors of 32-bit numbers, as many as fit: with AVX-512 (16) and with AVX2 (8). Two namespaces hold the same names,
// and each kernel uses one of them. + - * / & | << >> of vectors are GCC's and Clang's own: lane by lane, of Floats, of
// Ints and, for what lies in 16 bits, of Shorts; >> copies the sign.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define PUNA_AVX2
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define PUNA_AVX512
#endif
#endif

#ifdef PUNA_AVX2

#include <immintrin.h>

#define PUNA_INLINE inline __attribute__((always_inline))

// Before a loop: as many copies of its body as it has rounds.
#define PUNA_UNROLL _Pragma("GCC unroll 8")

namespace puna {

// A vector that is used several times: GCC reads it from memory each time, and then loads are what limits.
template <class Vector> PUNA_INLINE Vector in_register(Vector x) {
    asm("" : "+v"(x));
    return x;
}

}  // namespace puna

namespace puna::avx2 {

constexpr int kLanes = 8;

using Floats = __m256;
using Ints = int32_t __attribute__((vector_size(32)));
using Shorts = int16_t __attribute__((vector_size(32)));

inline Floats all(float x) { return _mm256_set1_ps(x); }
inline Ints all(int32_t x) { return (Ints) _mm256_set1_epi32(x); }
inline Floats load(const float * from) { return _mm256_loadu_ps(from); }
inline Floats load(const uint16_t * halves) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) halves)); }
inline void store(float * to, Floats x) { _mm256_storeu_ps(to, x); }
inline Floats to_floats(Ints x) { return __builtin_convertvector(x, Floats); }
inline Floats multiply_add(Floats a, Floats b, Floats sum) { return _mm256_fmadd_ps(a, b, sum); }
inline Floats larger(Floats a, Floats b) { return _mm256_max_ps(a, b); }

// Zero for -inf.
inline Floats finite_or_zero(Floats x) { return _mm256_and_ps(_mm256_cmp_ps(x, all(-INFINITY), _CMP_NEQ_UQ), x); }

inline float sum_of_lanes(Floats x) {
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}

inline float largest_lane(Floats x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

// The sum of each of four vectors.
inline __m128 sums_of_lanes(Floats a, Floats b, Floats c, Floats d) {
    const Floats ab = _mm256_unpacklo_ps(a, b) + _mm256_unpackhi_ps(a, b);
    const Floats cd = _mm256_unpacklo_ps(c, d) + _mm256_unpackhi_ps(c, d);
    const Floats x = _mm256_shuffle_ps(ab, cd, 0x44) + _mm256_shuffle_ps(ab, cd, 0xee);
    return _mm256_castps256_ps128(x) + _mm256_extractf128_ps(x, 1);
}

// One bit for each of 32 numbers that are not `value`.
inline uint32_t others(const uint16_t * x, uint16_t value) {
    const __m256i * const halves = (const __m256i *) x;
    const __m256i wanted = _mm256_set1_epi16((int16_t) value);
    const __m256i low = _mm256_cmpeq_epi16(_mm256_loadu_si256(halves), wanted);
    const __m256i high = _mm256_cmpeq_epi16(_mm256_loadu_si256(halves + 1), wanted);
    return ~(uint32_t) _mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8));
}

// The lanes from `first` on.
using Mask = __m256i;
inline Mask lanes_from(int first) {
    return _mm256_cmpgt_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first - 1));
}
inline Floats load(const float * from, Mask mask) { return _mm256_maskload_ps(from, mask); }
inline void store(float * to, Floats x, Mask mask) { _mm256_maskstore_ps(to, mask, x); }

// The low 16 bits of each lane as a number of half precision.
inline Floats from_low_halves(Ints x) {
    const __m256i low = (__m256i) (x & 0xffff);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08)));
}

// Adds to each lane the products of its two numbers of 16 bits.
inline Ints add_pair_products(Ints sum, Ints a, Ints b) {
    return sum + (Ints) _mm256_madd_epi16((__m256i) a, (__m256i) b);
}

// 16 bytes from each of as many rows, one after the other.
inline Ints load_rows(const uint8_t * first, size_t stride) {
    return (Ints) _mm256_loadu2_m128i((const __m128i *) (first + stride), (const __m128i *) first);
}

// Within each 128 bits.
inline Ints low_32(Ints a, Ints b) { return (Ints) _mm256_unpacklo_epi32((__m256i) a, (__m256i) b); }
inline Ints high_32(Ints a, Ints b) { return (Ints) _mm256_unpackhi_epi32((__m256i) a, (__m256i) b); }
inline Ints low_64(Ints a, Ints b) { return (Ints) _mm256_unpacklo_epi64((__m256i) a, (__m256i) b); }
inline Ints high_64(Ints a, Ints b) { return (Ints) _mm256_unpackhi_epi64((__m256i) a, (__m256i) b); }

}  // namespace puna::avx2

#endif

#ifdef PUNA_AVX512

namespace puna::avx512 {

constexpr int kLanes = 16;

using Floats = __m512;
using Ints = int32_t __attribute__((vector_size(64)));
using Shorts = int16_t __attribute__((vector_size(64)));

inline Floats all(float x) { return _mm512_set1_ps(x); }
inline Ints all(int32_t x) { return (Ints) _mm512_set1_epi32(x); }
inline Floats load(const float * from) { return _mm512_loadu_ps(from); }
inline Floats load(const uint16_t * halves) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) halves)); }
inline void store(float * to, Floats x) { _mm512_storeu_ps(to, x); }
inline Floats to_floats(Ints x) { return __builtin_convertvector(x, Floats); }
inline Floats multiply_add(Floats a, Floats b, Floats sum) { return _mm512_fmadd_ps(a, b, sum); }
inline Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats finite_or_zero(Floats x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, all(-INFINITY), _CMP_NEQ_UQ), x);
}
inline float sum_of_lanes(Floats x) { return _mm512_reduce_add_ps(x); }
inline float largest_lane(Floats x) { return _mm512_reduce_max_ps(x); }
inline __m128 sums_of_lanes(Floats a, Floats b, Floats c, Floats d) {
    const Floats ab = _mm512_unpacklo_ps(a, b) + _mm512_unpackhi_ps(a, b);
    const Floats cd = _mm512_unpacklo_ps(c, d) + _mm512_unpackhi_ps(c, d);
    const Floats x = _mm512_shuffle_ps(ab, cd, 0x44) + _mm512_shuffle_ps(ab, cd, 0xee);
    const __m256 y = _mm512_castps512_ps256(x) + _mm512_extractf32x8_ps(x, 1);
    return _mm256_castps256_ps128(y) + _mm256_extractf128_ps(y, 1);
}
inline uint32_t others(const uint16_t * x, uint16_t value) {
    return _mm512_cmpneq_epi16_mask(_mm512_loadu_si512(x), _mm512_set1_epi16((int16_t) value));
}

using Mask = __mmask16;
inline Mask lanes_from(int first) { return (Mask) (first < kLanes ? 0xffffu << std::max(first, 0) : 0); }
inline Floats load(const float * from, Mask mask) { return _mm512_maskz_loadu_ps(mask, from); }
inline void store(float * to, Floats x, Mask mask) { _mm512_mask_storeu_ps(to, mask, x); }

inline Floats from_low_halves(Ints x) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i) x)); }
#ifdef __AVX512VNNI__
inline Ints add_pair_products(Ints sum, Ints a, Ints b) {
    return (Ints) _mm512_dpwssd_epi32((__m512i) sum, (__m512i) a, (__m512i) b);
}
#endif

inline Ints load_rows(const uint8_t * first, size_t stride) {
    const auto row = [=](int i) { return _mm_loadu_si128((const __m128i *) (first + i * stride)); };
    __m512i found = _mm512_castsi128_si512(row(0));
    found = _mm512_mask_broadcast_i32x4(found, 0x00f0, row(1));
    found = _mm512_mask_broadcast_i32x4(found, 0x0f00, row(2));
    return (Ints) _mm512_mask_broadcast_i32x4(found, 0xf000, row(3));
}

inline Ints low_32(Ints a, Ints b) { return (Ints) _mm512_unpacklo_epi32((__m512i) a, (__m512i) b); }
inline Ints high_32(Ints a, Ints b) { return (Ints) _mm512_unpackhi_epi32((__m512i) a, (__m512i) b); }
inline Ints low_64(Ints a, Ints b) { return (Ints) _mm512_unpacklo_epi64((__m512i) a, (__m512i) b); }
inline Ints high_64(Ints a, Ints b) { return (Ints) _mm512_unpackhi_epi64((__m512i) a, (__m512i) b); }

}  // namespace puna::avx512

#endif
