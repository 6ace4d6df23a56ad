// How the threads of an operation share its work: in numbered shares, of which a thread takes the next when it is free.
#pragma once

#include "ggml-cpu-impl.h"

namespace puna {

// Every thread calls it before its first share. What they did before is then visible to all of them.
inline void meet_before_shares(const ggml_compute_params * params) {
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);  // the first share of each thread is given
    }
    ggml_barrier(params->threadpool);
}

// compute(share, next): this thread's shares. `next` is the one after it, taken beforehand, so that its weights can be
// fetched meanwhile; after the last share it is n_shares or more.
template <class Compute>
void for_each_share(const ggml_compute_params * params, int64_t n_shares, Compute compute) {
    for (int64_t share = params->ith; share < n_shares;) {
        const int64_t next = ggml_threadpool_chunk_add(params->threadpool, 1);
        compute(share, next);
        share = next;
    }
}

}  // namespace puna
