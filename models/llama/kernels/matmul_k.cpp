// Products with Q4_K and Q6_K weights, as they lie in the file. llama.cpp repacks Q4_K as a model is loaded, which
// costs a copy of the weights and makes prompts slow, and without it few tokens are slow.
// * One token: rows are multiplied as they lie in memory (matmul_k_one.h), which is what it waits for.
// * Several: as many rows as a vector has lanes are multiplied side by side. Their blocks are transposed as they are
//   read, which costs as much as three tokens do; then an instruction multiplies four weights of each row by the same
//   four inputs, a sub-block is scaled once for all of these rows, and nothing is summed across lanes.
// * Weights are read once for all tokens. llama.cpp reads them for each token, or unpacks them into memory for many.
// * The next rows are fetched in the order of memory while these are multiplied.
// Inputs are rounded to 8 bits with a scale for 256, as llama.cpp does; sums within a block are exact.

#include "matmul_k.h"

#include <algorithm>

#include "matmul.h"

#if defined(PUNA_K_AVX512)
#include "matmul_k_avx512.h"
#include "matmul_k_one.h"
#elif defined(PUNA_K_AVX2)
#include "matmul_k_avx2.h"
#endif

namespace puna {

#if defined(PUNA_K_AVX512) || defined(PUNA_K_AVX2)
namespace {

// Tokens that are multiplied by a group of rows before the next group is read.
constexpr int64_t kMostTokens = 256;

// Groups a thread takes at a time, at most: taking some costs as much as waiting for memory.
constexpr int64_t kMostGroups = 4;
constexpr int64_t kMostGroupsOfOne = 16;  // for one token, which waits for memory all the time

struct Product {
    Product(const ggml_compute_params * params, ggml_tensor * dst);

    Rows group(int64_t index) const { return {weights + first_row(index) * row_stride, row_stride}; }

    // Of the last group, some rows may belong to the one before too.
    int64_t first_row(int64_t group) const { return std::min(group * kRows, n_rows - kRows); }

    const float * input(int64_t token, int64_t block) const {
        return (const float *) (inputs + token * input_stride) + block * QK_K;
    }

    float * output(int64_t token, int64_t row) const { return (float *) (outputs + token * output_stride) + row; }

    const uint8_t * weights;
    const char * inputs;
    char * outputs;
    size_t row_stride, input_stride, output_stride;
    int64_t n_rows, n_blocks, n_tokens;
    int64_t n_groups, n_groups_each;
    int32_t * rounded;  // inputs: blocks, within them tiles
};

Product::Product(const ggml_compute_params * params, ggml_tensor * dst)
    : weights((const uint8_t *) dst->src[0]->data),
      inputs((const char *) dst->src[1]->data),
      outputs((char *) dst->data),
      row_stride(dst->src[0]->nb[1]),
      input_stride(dst->src[1]->nb[1]),
      output_stride(dst->nb[1]),
      n_rows(dst->src[0]->ne[1]),
      n_blocks(dst->src[0]->ne[0] / QK_K),
      n_tokens(dst->src[1]->ne[1]),
      n_groups((n_rows + kRows - 1) / kRows),
      n_groups_each(std::clamp<int64_t>(n_groups / (8 * params->nth), 1,
                                        n_tokens == 1 ? kMostGroupsOfOne : kMostGroups)),
      rounded((int32_t *) params->wdata) {}

template <class Weights> int32_t sum_of(const int8_t * values, int sub_block) {
    constexpr int n = QK_K / Weights::kScales;
    int32_t sum = 0;
    for (int i = 0; i < n; i++) {
        sum += values[sub_block * n + i];
    }
    return sum;
}

template <class Weights> void store_sums(const int8_t * values, int n_apart, int32_t * to) {
    for (int i = 0; i < Weights::kPairs; i++) {
        const int s = first_of_pair(i);
        const int16_t pair[] = {(int16_t) sum_of<Weights>(values, s), (int16_t) sum_of<Weights>(values, s + 2)};
        memcpy(to + i * n_apart, pair, sizeof pair);
    }
    for (int i = 0; i < Weights::kBegins; i++) {
        to[i * n_apart] = -32 * sum_of<Weights>(values, i);
    }
}

// A block of one token of a tile with n_apart tokens.
template <class Weights> void round_inputs(const float * inputs, int n_apart, int32_t * to) {
    constexpr float kLeast = 1e-36f;  // the inverse of smaller numbers may be infinite
    const float largest = largest_of(inputs);
    int8_t values[QK_K];
    round_block(inputs, largest < kLeast ? 0.0f : 127 / largest, values);
    for (int i = 0; i < kWords; i++) {
        memcpy(to + i * n_apart, values + 4 * i, 4);
    }
    store_sums<Weights>(values, n_apart, to + kWords * n_apart);
    const float scale = largest / 127;
    memcpy(to + (kInputWords<Weights> - 1) * n_apart, &scale, sizeof scale);
}

int tile_size(const Product & product, int64_t first_token) {
    return (int) std::min<int64_t>(kTile, product.n_tokens - first_token);
}

template <class Weights> int32_t * tile_at(const Product & product, int64_t block, int64_t first_token) {
    return product.rounded + (block * product.n_tokens + first_token) * kInputWords<Weights>;
}

// This thread's blocks of all tokens.
template <class Weights> void round_inputs(const Product & product, int ith, int nth) {
    const int64_t end = (ith + 1) * product.n_blocks / nth;
    for (int64_t block = ith * product.n_blocks / nth; block < end; block++) {
        for (int64_t token = 0; token < product.n_tokens; token++) {
            const int64_t in_tile = token % kTile, first = token - in_tile;
            int32_t * const tile = tile_at<Weights>(product, block, first);
            round_inputs<Weights>(product.input(token, block), tile_size(product, first), tile + in_tile);
        }
    }
}

template <class Weights, int T = kTile>
void add_tile(int n_tokens, const Panel & panel, const int32_t * inputs, float (*sums)[kRows]) {
    if constexpr (T > 1) {
        if (n_tokens < T) {
            return add_tile<Weights, T - 1>(n_tokens, panel, inputs, sums);
        }
    }
    add_products<Weights, T>(panel, inputs, sums);
}

// `next`: the group that this thread multiplies after this one.
template <class Weights>
void multiply_group(const Product & product, int64_t group, int64_t next, int64_t first_token) {
    const int64_t end = std::min(first_token + kMostTokens, product.n_tokens);
    const int64_t first_row = product.first_row(group);
    alignas(64) float sums[kMostTokens][kRows];
    memset(sums, 0, (end - first_token) * sizeof sums[0]);
    Prefetch ahead(product.group(next < product.n_groups ? next : group).first);
#ifdef PUNA_K_AVX512
    if (product.n_tokens == 1) {
        multiply_one<Weights>(product.group(group), product.n_blocks, product.rounded, ahead, sums[0]);
        store_rows(sums[0], (int) (group * kRows - first_row), product.output(0, first_row));
        return;
    }
#endif
    for (int64_t block = 0; block < product.n_blocks; block++) {
        Panel panel;
        unpack(Weights(), product.group(group), block * sizeof(typename Weights::Block), ahead, panel);
        for (int64_t t = first_token; t < end; t += kTile) {
            const int32_t * const tile = tile_at<Weights>(product, block, t);
            add_tile<Weights>(tile_size(product, t), panel, tile, sums + (t - first_token));
        }
    }
    for (int64_t t = first_token; t < end; t++) {
        store_rows(sums[t - first_token], (int) (group * kRows - first_row), product.output(t, first_row));
    }
}

template <class Weights> void multiply(const ggml_compute_params * params, const Product & product) {
    const int64_t n_each = product.n_groups_each, n_parts = (product.n_groups + n_each - 1) / n_each;
    round_inputs<Weights>(product, params->ith, params->nth);
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    for (int64_t part = params->ith; part < n_parts;) {
        const int64_t next_part = ggml_threadpool_chunk_add(params->threadpool, 1);
        const int64_t end = std::min((part + 1) * n_each, product.n_groups);
        for (int64_t group = part * n_each; group < end; group++) {
            const int64_t next = group + 1 < end ? group + 1 : next_part * n_each;
            for (int64_t token = 0; token < product.n_tokens; token += kMostTokens) {
                multiply_group<Weights>(product, group, next, token);
            }
        }
        part = next_part;
    }
}

bool takes(const ggml_tensor * dst) {
    const ggml_tensor * weights = dst->src[0];
    const ggml_tensor * inputs = dst->src[1];
    if (dst->op != GGML_OP_MUL_MAT || inputs->type != GGML_TYPE_F32 || dst->type != GGML_TYPE_F32) {
        return false;
    }
    if (weights->type != GGML_TYPE_Q4_K && weights->type != GGML_TYPE_Q6_K) {
        return false;
    }
    const bool is_repacked = weights->extra != nullptr;
    const bool has_rows = weights->nb[0] == ggml_type_size(weights->type) && inputs->nb[0] == sizeof(float);
    const bool is_matrix = weights->ne[2] == 1 && weights->ne[3] == 1 && inputs->ne[2] == 1 && inputs->ne[3] == 1;
    return !is_repacked && has_rows && is_matrix && weights->ne[0] % QK_K == 0 && weights->ne[1] >= kRows;
}

}  // namespace

size_t multiply_k_work_size(const ggml_tensor * dst, int) {
    if (!takes(dst)) {
        return 0;
    }
    const int n_words = dst->src[0]->type == GGML_TYPE_Q4_K ? kInputWords<Q4K> : kInputWords<Q6K>;
    return ggml_nelements(dst->src[1]) / QK_K * n_words * sizeof(int32_t);
}

bool multiply_k(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!takes(dst) || params->wsize < multiply_k_work_size(dst, params->nth)) {
        return false;
    }
    const Product product(params, dst);
    if (dst->src[0]->type == GGML_TYPE_Q4_K) {
        multiply<Q4K>(params, product);
    } else {
        multiply<Q6K>(params, product);
    }
    return true;
}

#else

bool multiply_k(const ggml_compute_params *, ggml_tensor *) {
    return false;
}

size_t multiply_k_work_size(const ggml_tensor *, int) {
    return 0;
}

#endif

}  // namespace puna
