"""What one round of a case is: requests of a kind, and what is measured of them."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Sequence

import psutil

from bench.cases import Case, Measure, Work, ask, asks, letters
from bench.load import Exchange, post_all
from bench.report import Round
from bench.servers import Ask, Contender


async def run_round(server: Contender, case: Case, number: int) -> Round:
    """One round, the same work for every server. Raises: LoadFailed."""
    match case.work:
        case Work.BURST:
            return await _burst(server, case, asks(case, number))
        case Work.CHAT:
            return await _chat(server, case, number)
        case Work.ARRIVAL:
            return await _arrival(server, case, number)
        case Work.EMBED:
            return await _embed(server, case, number)


async def _burst(server: Contender, case: Case, requests: Sequence[Ask]) -> Round:
    exchanges = await post_all(server.process.url, server.path, [server.body(request) for request in requests])
    n_tokens = sum(server.usage(exchange).n_predicted for exchange in exchanges)
    duration_s = max(exchange.last_byte_s for exchange in exchanges)
    first_s = statistics.median(exchange.first_byte_s for exchange in exchanges)
    beyond_mb = _beyond_mb(server, case) if case.measure is Measure.MEMORY else 0.0
    return Round(server.name, duration_s, n_tokens / duration_s, first_s, beyond_mb=beyond_mb)


async def _chat(server: Contender, case: Case, number: int) -> Round:
    """Every turn sends the whole conversation again. The first one is not counted."""
    rng = random.Random(f"{case.name} {number}")
    text, firsts, n_tokens, duration_s = "", [], 0, 0.0
    for turn in range(case.n_turns):
        text += letters(rng, case.n_prompt)
        (exchange,) = await post_all(server.process.url, server.path, [server.body(ask(case, text, turn + 1))])
        text += server.text(exchange)
        firsts.append(exchange.first_byte_s)
        n_tokens += server.usage(exchange).n_predicted
        duration_s += exchange.last_byte_s
    return Round(server.name, duration_s, n_tokens / duration_s, statistics.median(firsts[1:]))


async def _arrival(server: Contender, case: Case, number: int) -> Round:
    """The long prompt comes as soon as everyone else has a token. It gets one token itself."""
    rng = random.Random(f"{case.name} long {number}")
    long = Ask(letters(rng, case.n_long), 1, seed=1)
    bodies = [server.body(request) for request in (*asks(case, number), long)]
    *streams, last = await post_all(server.process.url, server.path, bodies, n_first=case.n_streams)
    n_tokens = sum(server.usage(exchange).n_predicted for exchange in streams)
    duration_s = max(exchange.last_byte_s for exchange in (*streams, last))
    gap_s = max(worst_gap(stream, last.sent_s, last.first_byte_s) for stream in streams)
    return Round(server.name, duration_s, n_tokens / duration_s, last.first_byte_s - last.sent_s, worst_gap_s=gap_s)


def worst_gap(stream: Exchange, start_s: float, end_s: float) -> float:
    """The longest time without a byte between `start_s` and `end_s`."""
    arrivals = [start_s, *(at for at in stream.arrivals_s if start_s < at < end_s)]
    if stream.last_byte_s > end_s:
        arrivals.append(end_s)
    return max((b - a for a, b in itertools.pairwise(arrivals)), default=0.0)


async def _embed(server: Contender, case: Case, number: int) -> Round:
    inputs = [request.prompt for request in asks(case, number)]
    (exchange,) = await post_all(server.process.url, server.embed_path, [server.embed_body(inputs)])
    assert server.n_vectors(exchange) == len(inputs), "one vector for each input"
    n_tokens = case.n_streams * case.n_prompt
    return Round(server.name, exchange.last_byte_s, n_tokens / exchange.last_byte_s, exchange.first_byte_s)


def _beyond_mb(server: Contender, case: Case) -> float:
    """What the process that computes occupies, less the weights' file (mapped, and read by now) and the KV cache."""
    pid = server.compute_pid
    cache_bytes = case.shape.kv_bytes_per_token * case.n_ctx * case.slots
    return (psutil.Process(pid).memory_info().rss - server.weights_bytes - cache_bytes) / 1e6
