"""The network of pico in PyTorch: the llama architecture exactly as llama.cpp computes it.

Pre-norm blocks (RMS norm, rotary attention, SwiGLU), no biases.
Rotary pairs are neighbours (2i, 2i + 1), which is what llama.cpp does for `llama`: weights are exported as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the network; every row length is a multiple of 32, as Q8_0 needs."""

    n_vocab: int
    n_embd: int = 192
    n_layer: int = 4
    n_head: int = 3
    n_ff: int = 512
    rope_base: float = 50_000.0
    norm_eps: float = 1e-5

    @property
    def n_rot(self) -> int:
        return self.n_embd // self.n_head


class Block(nn.Module):
    """One layer: attention, then the gated feed-forward network, each added to its input."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.attn_norm = nn.RMSNorm(shape.n_embd, shape.norm_eps)
        self.attn_q = nn.Linear(shape.n_embd, shape.n_embd, bias=False)
        self.attn_k = nn.Linear(shape.n_embd, shape.n_embd, bias=False)
        self.attn_v = nn.Linear(shape.n_embd, shape.n_embd, bias=False)
        self.attn_output = nn.Linear(shape.n_embd, shape.n_embd, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.n_embd, shape.norm_eps)
        self.ffn_gate = nn.Linear(shape.n_embd, shape.n_ff, bias=False)
        self.ffn_up = nn.Linear(shape.n_embd, shape.n_ff, bias=False)
        self.ffn_down = nn.Linear(shape.n_ff, shape.n_embd, bias=False)

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        x = x + self.attend(self.attn_norm(x), rotation)
        normed = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(normed)) * self.ffn_up(normed))

    def attend(self, x: Tensor, rotation: Tensor) -> Tensor:
        q, k, v = (
            projection(x).unflatten(-1, (self.shape.n_head, -1)).transpose(1, 2)
            for projection in (self.attn_q, self.attn_k, self.attn_v)
        )
        scores = rotate(q, rotation) @ rotate(k, rotation).transpose(-1, -2) * self.shape.n_rot**-0.5
        later = torch.full(scores.shape[-2:], -torch.inf).triu(1)
        out = (scores + later).softmax(-1).to(v.dtype) @ v  # for short rows faster than PyTorch's fused attention
        return self.attn_output(out.transpose(1, 2).flatten(-2))


class Network(nn.Module):
    """Token ids and positions in, hidden states out; `output` makes logits of those that are wanted."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.n_vocab, shape.n_embd)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))
        self.output_norm = nn.RMSNorm(shape.n_embd, shape.norm_eps)
        self.output = nn.Linear(shape.n_embd, shape.n_vocab, bias=False)
        nn.init.zeros_(self.output.weight)
        for block in self.blocks:
            nn.init.zeros_(block.attn_output.weight)
            nn.init.zeros_(block.ffn_down.weight)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Hidden states (batch, length, n_embd) for tokens and positions of shape (batch, length)."""
        x = self.token_embd(tokens)
        rotation = rotation_of(positions, self.shape)
        for block in self.blocks:
            x = block(x, rotation)
        return self.output_norm(x)


def rotation_of(positions: Tensor, shape: Shape) -> Tensor:
    """The rotary angles as complex numbers of length 1, of shape (batch, 1, length, n_rot / 2)."""
    exponents = torch.arange(0, shape.n_rot, 2, dtype=torch.float32) / shape.n_rot
    angles = positions[:, None, :, None].float() * shape.rope_base**-exponents
    return torch.polar(torch.ones_like(angles), angles)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn each pair of neighbouring dimensions, seen as a complex number, by its angle."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rotation).flatten(-2).to(x.dtype)
