"""Codes from a dictionary: an autoencoder whose code is a handful of whole numbers, and a learned prior over these.

``index`` is always (N, M): for each image M entries of one codebook of K vectors, whole numbers from 0 to K - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_utils.system.contracts import Index, Whole, takes

from .networks import mlp

Quantize = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class VectorQuantised(nn.Module):
    """An autoencoder whose code is M entries of a codebook (van den Oord, Vinyals and Kavukcuoglu 2017).

    Args:
        num_pixels: of an image; x is (N, num_pixels).
        num_codes: M, entries for each image.
        num_entries: K, vectors in the codebook.
        entry_dim: D, numbers of a vector.
        quantize: (codes (N, M, D), codebook (K, D)) -> (z (N, M, D), index (N, M)).
        hidden_dims: widths of the encoder's hidden layers; the decoder has them in reverse.

    ``encode`` gives z flat, (N, M D), as ``decode`` takes it, so that what measures models measures this one.
    """

    def __init__(
        self,
        num_pixels: int,
        num_codes: int,
        num_entries: int,
        entry_dim: int,
        quantize: Quantize,
        hidden_dims: tuple[int, ...] = (400,),
    ) -> None:
        super().__init__()
        num_codes, entry_dim = Whole(1).take("num_codes", num_codes), Whole(1).take("entry_dim", entry_dim)
        width = num_codes * entry_dim
        self.shape, self.quantize = (num_codes, entry_dim), quantize
        self.encoder = mlp([num_pixels, *hidden_dims, width])
        self.decoder = mlp([width, *reversed(hidden_dims), num_pixels])
        self.codebook = nn.Parameter(torch.randn(Whole(2).take("num_entries", num_entries), entry_dim))

    def codes(self, x: Tensor) -> Tensor:
        """(N, M, D), before they are quantised."""
        return self.encoder(x).unflatten(1, self.shape)

    def index(self, x: Tensor) -> Tensor:
        """(N, M), the entries that stand for each image."""
        return self.quantize(self.codes(x), self.codebook)[1]

    def encode(self, x: Tensor) -> Tensor:
        """(N, M D), the entries of each image side by side."""
        return self.quantize(self.codes(x), self.codebook)[0].flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        """Logits of the images that z (N, M D) stands for."""
        return self.decoder(z)

    def entries(self, index: Tensor) -> Tensor:
        """z (N, M D) of an index (N, M), to be decoded."""
        return self.codebook[Index(len(self.codebook), self.shape[0]).take("index", index)].flatten(1)

    @takes(seed=Whole(0, 2**63 - 1))
    @torch.no_grad()
    def start_from(self, x: Tensor, seed: int = 0) -> None:
        """Begin with a codebook of K codes of images x, chosen at random: entries far from every code are never used.

        Raises:
            ValueError: fewer codes than entries.
        """
        codes = self.codes(x).flatten(0, 1)
        if len(codes) < len(self.codebook):
            raise ValueError(f"{len(codes)} codes of {len(x)} images; expected at least {len(self.codebook)}.")
        chosen = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))[: len(self.codebook)]
        self.codebook.copy_(codes[chosen.to(codes.device)])


class IndexPrior(nn.Module):
    """A distribution over indices (M,), one after the other: p(k_1) p(k_2 | k_1) ... p(k_M | k_1, ..., k_M-1).

    The hidden layer of place m is the sum of what the places before it add (NADE, Larochelle and Murray 2011), so that
    all M distributions of an image come from one pass.

    Args:
        num_codes: M. num_entries: K. hidden: width; 0 makes the places independent, each with frequencies of its own.
    """

    def __init__(self, num_codes: int, num_entries: int, hidden: int = 128) -> None:
        super().__init__()
        num_codes, hidden = Whole(1).take("num_codes", num_codes), Whole(0).take("hidden", hidden)
        num_entries = Whole(2).take("num_entries", num_entries)
        self.adds = nn.Parameter(0.1 * torch.randn(num_codes, num_entries, hidden))
        self.start = nn.Parameter(torch.zeros(hidden))
        self.reads = nn.Parameter(torch.randn(num_codes, hidden, num_entries) / math.sqrt(max(hidden, 1)))
        self.bias = nn.Parameter(torch.zeros(num_codes, num_entries))

    def forward(self, index: Tensor) -> Tensor:
        """Logits (N, M, K) of each place, given the places before it."""
        num_codes, num_entries = self.bias.shape
        index = Index(num_entries, num_codes).take("index", index)
        added = self.adds[torch.arange(num_codes, device=index.device), index]  # (N, M, H)
        before = self.start + torch.cumsum(added, 1) - added
        return torch.einsum("nmh,mhk->nmk", torch.relu(before), self.reads) + self.bias

    def nats(self, index: Tensor) -> Tensor:
        """(N,), minus the log probability of each image's index."""
        return nn.functional.cross_entropy(self(index).transpose(1, 2), index.long(), reduction="none").sum(1)

    @takes(num_images=Whole(1), seed=Whole(0, 2**63 - 1))
    @torch.no_grad()
    def sample(self, num_images: int, *, seed: int = 0) -> Tensor:
        """(num_images, M), drawn place by place."""
        generator = torch.Generator().manual_seed(seed)
        hidden = self.start.expand(num_images, -1)
        index = []
        for adds, reads, bias in zip(self.adds, self.reads, self.bias, strict=True):
            chances = torch.softmax(torch.relu(hidden) @ reads + bias, 1).cpu()
            drawn = torch.multinomial(chances, 1, generator=generator)[:, 0].to(hidden.device)
            index.append(drawn)
            hidden = hidden + adds[drawn]
        return torch.stack(index, 1)


@takes(num_entries=Whole(1))
def perplexity(index: Tensor, num_entries: int) -> float:
    """How many entries are used, exp of the entropy of their frequencies in an index of any shape: 1 where all codes
    are one entry, K where all K are equally frequent.

    Raises:
        ValueError: index is empty, or not made of whole numbers from 0 to ``num_entries`` - 1.

    >>> round(perplexity(torch.tensor([[0, 1], [1, 0]]), 8), 6)
    2.0
    """
    index = Index(num_entries).take("index", index)
    shares = torch.bincount(index.flatten().cpu(), minlength=num_entries).double() / index.numel()
    return float(torch.exp(torch.special.entr(shares).sum()))
