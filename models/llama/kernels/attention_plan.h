// What attention has to compute, and how it is cut into items for threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "attention_cells.h"

#ifdef PUNA_AVX2

namespace puna::attention {

constexpr int kMostRows = 64;  // of queries in an item: their sums and 32 cells of 64 numbers fit the L1 or L2 cache
constexpr int kLeastDenseRows = kLanes * 3 / 4;  // below, empty lanes cost more than adding up dot products
constexpr int kItemsPerThread = 8;               // so that threads end together
constexpr int kLeastChunkCells = 128;            // below, putting chunks together costs more than it gives

inline int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }
inline int64_t round_up(int64_t n, int64_t to) { return divide_up(n, to) * to; }

// The operation's sizes, in the words of a model.
struct Problem {
    const ggml_tensor *q, *k, *v, *mask, *sinks;
    ggml_tensor * dst;
    int n_embd_k, n_embd_v, n_tokens, n_heads, n_streams, n_cells, n_heads_kv, heads_per_kv;
    float scale, max_bias, softcap;

    explicit Problem(ggml_tensor * dst)
        : q(dst->src[0]), k(dst->src[1]), v(dst->src[2]), mask(dst->src[3]), sinks(dst->src[4]), dst(dst),
          n_embd_k(q->ne[0]), n_embd_v(v->ne[0]), n_tokens(q->ne[1]), n_heads(q->ne[2]), n_streams(q->ne[3]),
          n_cells(k->ne[1]), n_heads_kv(k->ne[2]), heads_per_kv(n_heads / n_heads_kv) {
        memcpy(&scale, dst->op_params + 0, sizeof(float));
        memcpy(&max_bias, dst->op_params + 1, sizeof(float));
        memcpy(&softcap, dst->op_params + 2, sizeof(float));
        scale = softcap == 0.0f ? scale : scale / softcap;
    }

    bool is_taken() const {
        const bool types = q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 &&
                           dst->type == GGML_TYPE_F32 && (!mask || mask->type == GGML_TYPE_F16);
        const bool rows = q->nb[0] == 4 && q->nb[2] % 4 == 0 && k->nb[0] == 2 && v->nb[0] == 2 &&
                          ggml_is_contiguous(dst) && n_embd_k % 16 == 0 && n_embd_v % 16 == 0 && n_cells > 0;
        const bool heads = v->ne[2] == k->ne[2] && v->ne[3] == k->ne[3];
        const bool masks = !mask || (mask->nb[0] == 2 && mask->ne[2] == 1);
        return types && rows && heads && masks;
    }

    const float * query(int stream, int token, int head) const {
        return (const float *) ((const char *) q->data + token * q->nb[1] + head * q->nb[2] + stream * q->nb[3]);
    }
    CacheRows rows_of(const ggml_tensor * cache, int stream, int head_kv) const {
        const int64_t cache_stream = stream / (n_streams / cache->ne[3]);
        return {(const char *) cache->data + head_kv * cache->nb[2] + cache_stream * cache->nb[3], cache->nb[1]};
    }
    const ggml_fp16_t * mask_of(int stream, int token) const {
        if (!mask) {
            return nullptr;
        }
        const char * const from = (const char *) mask->data + (stream % mask->ne[3]) * mask->nb[3];
        return (const ggml_fp16_t *) (from + token * mask->nb[1]);
    }
    int64_t row(int stream, int token, int head) const {
        return ((int64_t) stream * n_tokens + token) * n_heads + head;
    }
    float * result(int64_t row) const { return (float *) dst->data + row * n_embd_v; }
    float sink(int head) const { return sinks ? ((const float *) sinks->data)[head] : -INFINITY; }

    // What ALiBi multiplies a head's mask with.
    float slope(int head) const {
        if (max_bias <= 0.0f) {
            return 1.0f;
        }
        const int half = 1 << (int) std::floor(std::log2(n_heads));
        return head < half ? std::pow(std::pow(2.0f, -max_bias / half), head + 1)
                           : std::pow(std::pow(2.0f, -max_bias / 2.0f / half), 2 * (head - half) + 1);
    }
};

// How the operation is cut into items, and how much memory they need.
struct Plan {
    int heads, head_groups;        // query heads of an item for each of its KV heads; groups of them for a KV head
    int tokens, token_groups;      // tokens of an item
    int lanes;                     // heads × tokens, with room for whole vectors
    int heads_kv, head_kv_groups;  // KV heads of an item: neighbours, whose keys are read as they lie in memory
    int cells, chunks;             // cells of an item; of several chunks, the parts are put together after
    size_t thread_floats, partial_floats;
    bool fits;

    Plan(const Problem & p, int n_threads, size_t work_bytes) {
        head_groups = divide_up(p.heads_per_kv, kMostRows);
        heads = divide_up(p.heads_per_kv, head_groups);
        token_groups = divide_up(p.n_tokens, kMostRows / heads);
        tokens = divide_up(p.n_tokens, token_groups);
        lanes = heads * tokens < kLeastDenseRows ? heads * tokens : round_up(heads * tokens, kLanes);
        partial_floats = p.n_embd_v + 2;
        const int64_t enough = (int64_t) kItemsPerThread * n_threads;
        heads_kv = std::min(p.n_heads_kv, head_groups > 1 ? 1 : kMostRows / lanes);
        choose_chunks(p, n_threads, work_bytes);
        while (heads_kv > 1 && n_threads > 1 && n_items(p) < enough / 2) {
            heads_kv = divide_up(heads_kv, 2);
            choose_chunks(p, n_threads, work_bytes);
        }
    }

    int64_t n_items(const Problem & p) const {
        return (int64_t) p.n_streams * chunks * token_groups * head_groups * head_kv_groups;
    }

  private:
    void choose_chunks(const Problem & p, int n_threads, size_t work_bytes) {
        head_kv_groups = divide_up(p.n_heads_kv, heads_kv);
        const int64_t n_embd = p.n_embd_k + p.n_embd_v;
        thread_floats = round_up((heads_kv * lanes + kDenseCells) * n_embd + kMostRows * kSparseCells, 16);
        const int64_t all_rows = p.row(p.n_streams, 0, 0);
        const int64_t free_floats = (int64_t) (work_bytes / sizeof(float)) - 16 - n_threads * (int64_t) thread_floats;
        fits = free_floats >= 0;
        chunks = 1;
        const int64_t wanted = n_threads == 1 ? 1 : divide_up((int64_t) kItemsPerThread * n_threads, n_items(p));
        const int64_t fitting = std::max<int64_t>(0, free_floats) / (all_rows * (int64_t) partial_floats);
        const int64_t most = std::max<int64_t>(1, std::min({wanted, fitting, (int64_t) p.n_cells / kLeastChunkCells}));
        cells = round_up(divide_up(p.n_cells, most), kDenseCells);
        chunks = divide_up(p.n_cells, cells);
    }
};

}  // namespace puna::attention

#endif
