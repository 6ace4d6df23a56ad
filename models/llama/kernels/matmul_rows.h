// What the kernels for products have in common: vectors, rows of matrices, and reading them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "ggml-cpu-impl.h"
#include "simd.h"

// Without VNNI AVX2 is used: to multiply signed bytes takes vpsignb then, which AVX-512 does not have.
#if defined(PUNA_AVX512) && defined(__AVX512VNNI__)
#define PUNA_MATMUL_AVX512
#endif

namespace puna {

// Fetches memory in its order. The calls are spread: many at once keep the other loads waiting.
class Prefetch {
  public:
    static constexpr int kLine = 64;

    explicit Prefetch(const void * from) : at_((const char *) from), until_(at_) {}

    void line() {
        __builtin_prefetch(at_, 0, 3);
        at_ += kLine;
    }

    // Not together with lines.
    void bytes(size_t n) {
        for (until_ += n; at_ < until_;) {
            line();
        }
    }

  private:
    const char *at_, *until_;
};

// Rows that are read together.
struct Rows {
    const uint8_t * first;
    size_t stride;

    const uint8_t * operator[](int64_t i) const { return first + i * stride; }
};

// Rows of weights, multiplied with each token's inputs.
struct MatrixProduct {
    Rows weights;
    const char * inputs;
    char * outputs;
    size_t input_stride, output_stride;
    int64_t n_in, n_rows, n_tokens;

    explicit MatrixProduct(const ggml_tensor * dst)
        : weights{(const uint8_t *) dst->src[0]->data, dst->src[0]->nb[1]},
          inputs((const char *) dst->src[1]->data), outputs((char *) dst->data), input_stride(dst->src[1]->nb[1]),
          output_stride(dst->nb[1]), n_in(dst->src[0]->ne[0]), n_rows(dst->src[0]->ne[1]),
          n_tokens(dst->src[1]->ne[1]) {}

    const float * input(int64_t token) const { return (const float *) (inputs + token * input_stride); }
    float * output(int64_t token, int64_t row) const { return (float *) (outputs + token * output_stride) + row; }
};

// One matrix, its rows without gaps within them.
inline bool is_matrix_of(const ggml_tensor * tensor, ggml_type type) {
    return tensor->type == type && tensor->nb[0] == ggml_type_size(type) && tensor->ne[2] == 1 && tensor->ne[3] == 1;
}

// `extra` belongs to weights that llama.cpp has repacked.
inline bool is_product_with(ggml_type type, const ggml_tensor * dst) {
    return dst->op == GGML_OP_MUL_MAT && is_matrix_of(dst->src[0], type) && dst->src[0]->extra == nullptr &&
           is_matrix_of(dst->src[1], GGML_TYPE_F32) && is_matrix_of(dst, GGML_TYPE_F32);
}

#ifdef PUNA_AVX2

#ifdef PUNA_MATMUL_AVX512
using namespace avx512;
#else
using namespace avx2;
#endif

// Four words from each of kLanes rows, a row in each lane: word i in words[i].
inline void load_words(const uint8_t * first, size_t stride, Ints * words) {
    const Ints a = load_rows(first, 4 * stride), b = load_rows(first + stride, 4 * stride);
    const Ints c = load_rows(first + 2 * stride, 4 * stride), d = load_rows(first + 3 * stride, 4 * stride);
    const Ints ab_low = low_32(a, b), ab_high = high_32(a, b), cd_low = low_32(c, d), cd_high = high_32(c, d);
    words[0] = low_64(ab_low, cd_low);
    words[1] = high_64(ab_low, cd_low);
    words[2] = low_64(ab_high, cd_high);
    words[3] = high_64(ab_high, cd_high);
}

#endif

}  // namespace puna
