// How attention is computed for an item: tile by tile of its cells, "sparse" or "dense" (attention.cpp).
#pragma once

#include "attention_plan.h"

#ifdef PUNA_AVX2

namespace puna::attention {
namespace {

// A row's result from its sums, a sink's weight added to their total.
inline void write_row(const Problem & p, int head, float most, float total, const float * sums, float * to) {
    const float sink = p.sink(head);
    float keep = 1.0f;
    if (sink != -INFINITY) {
        const float reference = std::max(most, sink);
        keep = std::exp(most - reference);
        total = total * keep + std::exp(sink - reference);
    }
    const float factor = total == 0.0f ? 0.0f : keep / total;
    for (int d = 0; d < p.n_embd_v; d++) to[d] = sums[d] * factor;
}

// Some neighbouring KV heads, query heads of each, some tokens, a chunk of the cells. Rows are numbered by KV head (its
// first is a multiple of the plan's lanes), then token, then query head.
class Item {
  public:
    Item(const Problem & p, const Plan & plan, int64_t index, float * memory) : p_(p), plan_(plan) {
        const auto next = [&](int64_t n) { const int i = index % n; index /= n; return i; };
        const int head_group = next(plan.head_groups);
        first_head_kv_ = next(plan.head_kv_groups) * plan.heads_kv;
        first_token_ = next(plan.token_groups) * plan.tokens;
        chunk_ = next(plan.chunks), stream_ = next(p.n_streams);
        n_heads_kv_ = std::min(plan.heads_kv, p.n_heads_kv - first_head_kv_);
        first_head_ = head_group * plan.heads;
        n_heads_ = std::min(plan.heads, p.heads_per_kv - first_head_);
        n_tokens_ = std::min(plan.tokens, p.n_tokens - first_token_);
        n_rows_ = n_heads_ * n_tokens_;

        const auto take = [&](int64_t n) { float * at = memory; memory += n; return at; };
        scores_ = take(kMostRows * kSparseCells);
        sums_ = take((int64_t) plan.heads_kv * plan.lanes * p.n_embd_v);
        queries_ = take((int64_t) plan.heads_kv * plan.lanes * p.n_embd_k);
        dense_keys_ = take((int64_t) kDenseCells * p.n_embd_k);
        dense_values_ = take((int64_t) kDenseCells * p.n_embd_v);
    }

    // A row's result is sums / total, weights relative to exp(most).
    void compute() {
        std::fill_n(most_, kMostRows, -INFINITY);
        std::fill_n(total_, kMostRows, 0.0f);
        memset(sums_, 0, (int64_t) n_heads_kv_ * plan_.lanes * p_.n_embd_v * sizeof(float));
        may_be_dense_ = n_rows_ >= kLeastDenseRows;
        for (int kv = 0; kv < n_heads_kv_; kv++) {
            for (int h = 0; h < n_heads_; h++) slopes_[kv * n_heads_ + h] = p_.slope(head(kv, h));
            if (may_be_dense_) transpose_queries(kv);
        }
        for (int t = 0; t < n_tokens_; t++) seen_[t].n = 0;
        const int begin = chunk_ * plan_.cells, end = std::min(begin + plan_.cells, p_.n_cells);
        for (int first = begin; first < end; first += kDenseCells) {
            compute_tile(first, std::min(kDenseCells, end - first));
        }
        for (int t = 0; t < n_tokens_; t++) {
            if (seen_[t].n > 0) compute_sparse(t);
        }
    }

    void write_results() const {
        each_row([&](int r, int head, int64_t row) {
            write_row(p_, head, most_[r], total_[r], sums_ + (int64_t) r * p_.n_embd_v, p_.result(row));
        });
    }

    void write_partials(float * partials) const {
        each_row([&](int r, int, int64_t row) {
            float * to = partials + (row * plan_.chunks + chunk_) * plan_.partial_floats;
            to[0] = most_[r], to[1] = total_[r];
            memcpy(to + 2, sums_ + (int64_t) r * p_.n_embd_v, p_.n_embd_v * sizeof(float));
        });
    }

  private:
    int head(int kv, int h) const { return (first_head_kv_ + kv) * p_.heads_per_kv + first_head_ + h; }
    CacheRows keys(int kv) const { return p_.rows_of(p_.k, stream_, first_head_kv_ + kv); }
    CacheRows values(int kv) const { return p_.rows_of(p_.v, stream_, first_head_kv_ + kv); }
    const float * query(int kv, int t, int h) const { return p_.query(stream_, first_token_ + t, head(kv, h)); }

    // what(its number here, its query head, its number in the operation)
    template <class What>
    void each_row(What what) const {
        for (int kv = 0; kv < n_heads_kv_; kv++) {
            for (int i = 0; i < n_rows_; i++) {
                const int t = i / n_heads_, h = head(kv, i % n_heads_);
                what(kv * plan_.lanes + i, h, p_.row(stream_, first_token_ + t, h));
            }
        }
    }

    const ggml_fp16_t * mask_of(int t) const { return p_.mask_of(stream_, first_token_ + t); }

    void compute_tile(int first, int n) {
        uint32_t bits[kMostRows];
        int n_seen = 0;
        for (int t = 0; t < n_tokens_; t++) {
            bits[t] = seen_bits(mask_of(t), first, n);
            n_seen += __builtin_popcount(bits[t]);
        }
        const bool is_whole = n_seen == n_tokens_ * n;
        if (may_be_dense_ && n_seen * 2 >= n_tokens_ * n && (is_whole || has_finite_values(first, n))) {
            for (int kv = 0; kv < n_heads_kv_; kv++) compute_dense(kv, first, n, bits);
            return;
        }
        for (int t = 0; n_seen && t < n_tokens_; t++) {
            seen_[t].append(bits[t], first, mask_of(t));
            if (seen_[t].n >= kSparseCells) compute_sparse(t);
        }
    }

    // A cell's values are multiplied by zero for tokens that do not see it, which infinity and NaN do not stand.
    bool has_finite_values(int first, int n) const {
        for (int kv = 0; kv < n_heads_kv_; kv++) {
            if (!are_finite(values(kv), first, n, p_.n_embd_v)) return false;
        }
        return true;
    }

    // One token, at most 64 cells of those that it sees.
    void compute_sparse(int t) {
        Seen & seen = seen_[t];
        const int n = std::min(seen.n, kSparseCells), n_scores = round_up(n, kLanes);
        std::fill(seen.cells + n, seen.cells + n_scores, seen.cells[n - 1]);
        std::fill(seen.biases + n, seen.biases + n_scores, kMinusInfinityF16);
        for (int kv = 0; kv < n_heads_kv_; kv++) compute_sparse(kv, t, n, n_scores);
        seen.drop_computed();
    }

    void compute_sparse(int kv, int t, int n, int n_scores) {
        const Seen & seen = seen_[t];
        const int first_row = kv * plan_.lanes + t * n_heads_;
        const CacheRows keys = this->keys(kv), values = this->values(kv);
        const float * queries = query(kv, t, 0);
        const size_t stride = p_.q->nb[2] / sizeof(float);
        for (int h = 0; h < n_heads_; h += kDotRows) {
            with_constant<kDotRows>(std::min(n_heads_ - h, kDotRows), [&](auto count) {
                score_rows<count()>(queries + h * stride, stride, keys, p_.n_embd_k, seen.cells, n_scores, p_.scale,
                                    scores_ + h * kSparseCells, kSparseCells, values, h ? 0 : p_.n_embd_v);
            });
        }
        float keep[kMostRows];
        for (int h = 0; h < n_heads_; h++) {
            keep[h] = weigh_sparse(scores_ + h * kSparseCells, n_scores, seen.biases, slopes_[kv * n_heads_ + h],
                                   first_row + h);
        }
        multiply(sums_ + (int64_t) first_row * p_.n_embd_v, p_.n_embd_v, n_heads_, p_.n_embd_v,
                 {scores_, kSparseCells, 1}, n, [&](int i) { return values[seen.cells[i]]; }, keep);
    }

    // A row's n scores become weights. What the row had before counts as much as the number returned.
    float weigh_sparse(float * scores, int n, const ggml_fp16_t * biases, float slope, int r) {
        Floats largest = all(most_[r]);
        for (int i = 0; i < n; i += kLanes) {
            const Floats score = capped(load(scores + i), p_.softcap);
            const Floats biased = multiply_add(all(slope), load(biases + i), score);
            store(scores + i, biased);
            largest = larger(largest, biased);
        }
        const float most = largest_lane(largest);
        const float reference = most == -INFINITY ? 0.0f : most;
        Floats sum = all(0.0f);
        for (int i = 0; i < n; i += kLanes) {
            const Floats weight = ggml_v_expf(load(scores + i) - all(reference));
            store(scores + i, weight);
            sum += weight;
        }
        const float keep = most == most_[r] ? 1.0f : std::exp(most_[r] - reference);
        total_[r] = total_[r] * keep + sum_of_lanes(sum);
        most_[r] = most;
        return keep;
    }

    // All rows of a KV head, n neighbouring cells.
    void compute_dense(int kv, int first, int n, const uint32_t * bits) {
        const int n_k = p_.n_embd_k, n_v = p_.n_embd_v, lanes = plan_.lanes, first_row = kv * lanes;
        const float * queries = queries_ + (int64_t) first_row * n_k;
        convert(keys(kv), n_k, first, n, dense_keys_);
        multiply(scores_, lanes, n, lanes, {dense_keys_, size_t(n_k), 1}, n_k,
                 [&](int d) { return queries + d * lanes; }, nullptr);
        for (int i = 0; p_.softcap != 0.0f && i < n * lanes; i += kLanes) {
            store(scores_ + i, capped(load(scores_ + i), p_.softcap));
        }
        for (int t = 0; t < n_tokens_; t++) add_mask(kv, t, first, n, bits[t]);
        float keep[kMostRows];
        for (int r = 0; r < n_rows_; r += kLanes) weigh_dense(scores_ + r, n, keep + r, first_row + r);
        convert(values(kv), n_v, first, n, dense_values_);
        multiply(sums_ + (int64_t) first_row * n_v, n_v, n_rows_, n_v, {scores_, 1, size_t(lanes)}, n,
                 [&](int i) { return dense_values_ + i * n_v; }, keep);
    }

    // Rows of a token lie beside each other. Most tiles are seen as a whole, without a bias.
    void add_mask(int kv, int t, int first, int n, uint32_t bits) {
        const ggml_fp16_t * mask = mask_of(t);
        if (!mask || (n == kDenseCells && bits == UINT32_MAX && others(mask + first, 0) == 0)) {
            return;
        }
        const float * slopes = slopes_ + kv * n_heads_;
        for (int i = 0; i < n; i++) {
            const float bias = GGML_CPU_FP16_TO_FP32(mask[first + i]);
            float * scores = scores_ + i * plan_.lanes + t * n_heads_;
            for (int h = 0; bias != 0.0f && h < n_heads_; h++) {
                scores[h] = bias == -INFINITY ? bias : scores[h] + slopes[h] * bias;
            }
        }
    }

    // The scores of n cells for the vector of rows from r on become weights; `keep` as in weigh_sparse.
    void weigh_dense(float * scores, int n, float * keep, int r) {
        const size_t lanes = plan_.lanes;
        const Floats before = load(most_ + r);
        Floats most = before;
        for (int i = 0; i < n; i++) most = larger(most, load(scores + i * lanes));
        const Floats reference = finite_or_zero(most);
        Floats sum = all(0.0f);
        for (int i = 0; i < n; i++) {
            const Floats weight = ggml_v_expf(load(scores + i * lanes) - reference);
            store(scores + i * lanes, weight);
            sum += weight;
        }
        const Floats kept = ggml_v_expf(before - reference);
        store(keep, kept);
        store(total_ + r, multiply_add(load(total_ + r), kept, sum));
        store(most_ + r, most);
    }

    static void convert(CacheRows from, int n_embd, int first, int n, float * to) {
        for (int i = 0; i < n; i++) {
            const ggml_fp16_t * row = from[first + i];
            for (int d = 0; d < n_embd; d += kLanes) store(to + i * n_embd + d, load(row + d));
        }
    }

    // Rows in the lanes, those behind the last are zero.
    void transpose_queries(int kv) {
        const int lanes = plan_.lanes;
        float * to = queries_ + (int64_t) kv * lanes * p_.n_embd_k;
        memset(to, 0, (int64_t) lanes * p_.n_embd_k * sizeof(float));
        for (int r = 0; r < n_rows_; r++) {
            const float * from = query(kv, r / n_heads_, r % n_heads_);
            for (int d = 0; d < p_.n_embd_k; d++) to[d * lanes + r] = from[d] * p_.scale;
        }
    }

    const Problem & p_;
    const Plan & plan_;
    int stream_, chunk_, first_head_kv_, n_heads_kv_, first_head_, n_heads_, first_token_, n_tokens_;
    int n_rows_;  // of a KV head
    bool may_be_dense_;
    float *scores_, *sums_, *queries_, *dense_keys_, *dense_values_;
    float slopes_[kMostRows], most_[kMostRows], total_[kMostRows];
    Seen seen_[kMostRows];
};

}  // namespace
}  // namespace puna::attention

#endif
