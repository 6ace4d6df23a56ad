// Vectors of the Q8_0 kernel: 16 or 8 rows wide, with the instructions that this file is compiled for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)
#define PUNA_Q8_AVX512
#endif

#if defined(PUNA_Q8_AVX512) || (defined(__AVX2__) && defined(__FMA__) && defined(__F16C__))
#define PUNA_Q8

#include <immintrin.h>

namespace puna::q8 {

// kLanes: rows of a vector. kVectors: how many of them are multiplied by the same inputs, as registers allow.
// kUnsignedInputs: whether add_products expects 128 more than each input.

#ifdef PUNA_Q8_AVX512

using Ints = __m512i;
using Floats = __m512;
constexpr int kLanes = 16;
constexpr int kVectors = 2;
constexpr bool kUnsignedInputs = true;

inline Ints load(const void * from) { return _mm512_load_si512(from); }
inline void store(void * to, Ints values) { _mm512_store_si512(to, values); }
inline Ints spread(int32_t value) { return _mm512_set1_epi32(value); }
inline Floats spread(float value) { return _mm512_set1_ps(value); }
inline Floats load_floats(const float * from) { return _mm512_load_ps(from); }
inline Floats zero_floats() { return _mm512_setzero_ps(); }
inline Floats from_halves(const uint16_t * halves) {
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *) halves));
}
inline void store_floats(float * to, Floats values) { _mm512_store_ps(to, values); }
inline Floats to_floats(Ints values) { return _mm512_cvtepi32_ps(values); }
inline Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Ints negative(Ints values) { return _mm512_sub_epi32(_mm512_setzero_si512(), values); }
inline Ints add_products(Ints sums, Ints inputs, Ints weights) { return _mm512_dpbusd_epi32(sums, inputs, weights); }

// The lanes whose results are stored: those from one on.
using Mask = __mmask16;
inline Mask mask_from(int first) { return (Mask) (first < kLanes ? 0xffff << std::max(first, 0) : 0); }
inline Floats load_some(const float * from, Mask mask) { return _mm512_maskz_loadu_ps(mask, from); }
inline void store_some(float * to, Floats values, Mask mask) { _mm512_mask_storeu_ps(to, mask, values); }

// 16 bytes of each of four rows.
inline Ints load_rows(const char * first, size_t stride) {
    auto part = [=](int i) { return _mm_loadu_si128((const __m128i *) (first + i * stride)); };
    Ints found = _mm512_castsi128_si512(part(0));
    found = _mm512_mask_broadcast_i32x4(found, 0x00f0, part(1));
    found = _mm512_mask_broadcast_i32x4(found, 0x0f00, part(2));
    return _mm512_mask_broadcast_i32x4(found, 0xf000, part(3));
}

inline Ints low_32(Ints a, Ints b) { return _mm512_unpacklo_epi32(a, b); }
inline Ints high_32(Ints a, Ints b) { return _mm512_unpackhi_epi32(a, b); }
inline Ints low_64(Ints a, Ints b) { return _mm512_unpacklo_epi64(a, b); }
inline Ints high_64(Ints a, Ints b) { return _mm512_unpackhi_epi64(a, b); }

#else

using Ints = __m256i;
using Floats = __m256;
constexpr int kLanes = 8;
constexpr int kVectors = 1;

inline Ints load(const void * from) { return _mm256_load_si256((const __m256i *) from); }
inline void store(void * to, Ints values) { _mm256_store_si256((__m256i *) to, values); }
inline Ints spread(int32_t value) { return _mm256_set1_epi32(value); }
inline Floats spread(float value) { return _mm256_set1_ps(value); }
inline Floats load_floats(const float * from) { return _mm256_load_ps(from); }
inline Floats zero_floats() { return _mm256_setzero_ps(); }
inline Floats from_halves(const uint16_t * halves) { return _mm256_cvtph_ps(_mm_load_si128((const __m128i *) halves)); }
inline void store_floats(float * to, Floats values) { _mm256_store_ps(to, values); }
inline Floats to_floats(Ints values) { return _mm256_cvtepi32_ps(values); }
inline Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Ints negative(Ints values) { return _mm256_sub_epi32(_mm256_setzero_si256(), values); }

using Mask = __m256i;
inline Mask mask_from(int first) {
    return _mm256_cmpgt_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first - 1));
}
inline Floats load_some(const float * from, Mask mask) { return _mm256_maskload_ps(from, mask); }
inline void store_some(float * to, Floats values, Mask mask) { _mm256_maskstore_ps(to, mask, values); }

inline Ints load_rows(const char * first, size_t stride) {
    return _mm256_loadu2_m128i((const __m128i *) (first + stride), (const __m128i *) first);
}

inline Ints low_32(Ints a, Ints b) { return _mm256_unpacklo_epi32(a, b); }
inline Ints high_32(Ints a, Ints b) { return _mm256_unpackhi_epi32(a, b); }
inline Ints low_64(Ints a, Ints b) { return _mm256_unpacklo_epi64(a, b); }
inline Ints high_64(Ints a, Ints b) { return _mm256_unpackhi_epi64(a, b); }

#if defined(__AVXVNNI__)
constexpr bool kUnsignedInputs = true;
inline Ints add_products(Ints sums, Ints inputs, Ints weights) {
    return _mm256_dpbusd_avx_epi32(sums, inputs, weights);
}
#else
// The inputs take the weights' signs: |weight| is at most 128 and |input| 127, of which two products fit into 16 bits.
constexpr bool kUnsignedInputs = false;
inline Ints add_products(Ints sums, Ints inputs, Ints weights) {
    const Ints pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(inputs, weights));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif

#endif

}  // namespace puna::q8

#endif
