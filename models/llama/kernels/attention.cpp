// Flash attention over a cache of F16. What is faster than llama.cpp's, which goes over the cache once for every query
// head and token, and loads and stores its sum of values for every cell:
//
// * The query heads that share a KV head are computed together, and of a prompt also up to 64 of their rows: keys and
//   values are read and converted once, and sums stay in registers over a tile of cells.
// * The cells that a token sees are listed first, 32 mask values at once. Cells of other sequences, or outside a
//   window, cost nothing else, wherever they lie.
// * The exponents of a tile are computed as vectors. Sums are F32 (llama.cpp's are F16 below 64 tokens).
//
// Two ways to compute a tile. "Sparse": one token, any 64 cells; a dot product for each score, its numbers in the
// lanes. "Dense": all rows of an item, 32 neighbouring cells; rows in the lanes, so that neither keys nor sums are ever
// transposed.

#if defined(__GNUC__) && !defined(__clang__)
// llama.cpp's other loops gain from -fprefetch-loop-arrays, with which it may be compiled; these lose 3%.
#pragma GCC optimize("no-prefetch-loop-arrays")
#endif

#include "ops.h"

#include "attention_item.h"
#include "shares.h"

extern "C" void llama_cpp_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst);

#ifdef PUNA_AVX2

namespace puna::attention {
namespace {

// A share of the rows, each from the parts that its chunks of cells left.
void put_together(const Problem & p, const Plan & plan, const float * partials, int thread, int n_threads) {
    const int64_t n_rows = p.row(p.n_streams, 0, 0);
    for (int64_t row = n_rows * thread / n_threads; row < n_rows * (thread + 1) / n_threads; row++) {
        const float * parts = partials + row * plan.chunks * plan.partial_floats;
        float most = -INFINITY, total = 0.0f;
        for (int i = 0; i < plan.chunks; i++) most = std::max(most, parts[i * plan.partial_floats]);
        float * result = p.result(row);
        memset(result, 0, p.n_embd_v * sizeof(float));
        for (int i = 0; i < plan.chunks; i++) {
            const float * part = parts + i * plan.partial_floats;
            if (part[1] == 0.0f) continue;
            const float weight = std::exp(part[0] - most);
            total += part[1] * weight;
            for (int d = 0; d < p.n_embd_v; d++) result[d] += part[2 + d] * weight;
        }
        write_row(p, row % p.n_heads, most, total, result, result);
    }
}

// False: llama.cpp's has to compute it.
bool compute(const ggml_compute_params * params, ggml_tensor * dst) {
    const Problem p(dst);
    if (params->use_ref || !p.is_taken()) {
        return false;
    }
    const Plan plan(p, params->nth, params->wsize);
    if (!plan.fits) {
        return false;
    }
    float * const memory = (float *) (((uintptr_t) params->wdata + 63) / 64 * 64);
    float * const partials = memory + params->nth * plan.thread_floats;
    meet_before_shares(params);
    for_each_share(params, plan.n_items(p), [&](int64_t i, int64_t) {
        Item item(p, plan, i, memory + params->ith * plan.thread_floats);
        item.compute();
        plan.chunks == 1 ? item.write_results() : item.write_partials(partials);
    });
    if (plan.chunks > 1) {
        ggml_barrier(params->threadpool);
        put_together(p, plan, partials, params->ith, params->nth);
    }
    return true;
}

}  // namespace
}  // namespace puna::attention

#endif

extern "C" void ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
#ifdef PUNA_AVX2
    if (puna::attention::compute(params, dst)) {
        return;
    }
#endif
    llama_cpp_flash_attn_ext(params, dst);
}
