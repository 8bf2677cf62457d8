"""Codebooks of every size for the same latents, made in each way that RAQ (arXiv 2405.14222) knows, and ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.codebooks.nested import nearest_of_first
from training.codebooks.ops import distances, nearest, pick
from training.lbg import greedy_order, lloyd, split_codewords
from training.regrouping import dkm, ikm

LARGEST, BASE = 1024, 128
STEPS, BATCH = 300, 1024
"""Of codebook-only training, for every trained generator; sub-vectors of each channel group in a step."""
HIDDEN = 64
"""Of the LSTM."""
TABLE_RATE, LSTM_RATE = 0.01, 3e-3

Codebooks = Callable[[int], Tensor]
"""Size K to its codewords (G, K, d)."""


def k_means(x: Tensor, size: int) -> Tensor:
    """LBG of x (N, G, d) at a power of two, in the order of what each codeword gains: (G, K, d)."""
    books = []
    for part in x.unbind(1):
        found = split_codewords(part, None, keep=False)
        while len(found) < size:
            found = split_codewords(part, found, keep=False)
        books.append(found[greedy_order(part, found)])
    return torch.stack(books)


def use(x: Tensor, codewords: Tensor) -> Tensor:
    """How often x (N, G, d) chooses each codeword (G, K, d): (G, K)."""
    index = nearest(x, codewords)
    return torch.stack([torch.bincount(of, minlength=codewords.shape[1]) for of in index.unbind(1)]).to(x.dtype)


def of_each_size(x: Tensor, largest: Tensor) -> Codebooks:
    """The ceiling: k-means for each size, begun from the largest codebook's codewords in groups."""
    used = use(x, largest)

    def of(size: int) -> Tensor:
        start = dkm(largest, used, size)
        return torch.stack([lloyd(part, centres, frozen=0) for part, centres in zip(x.unbind(1), start, strict=True)])

    return of


def model_based(x: Tensor, base: Tensor) -> Codebooks:
    """DKM for smaller sizes, IKM for larger ones; only how often each codeword of the base is used is known."""
    used = use(x, base)
    return lambda size: dkm(base, used, size) if size < base.shape[1] else ikm(base, used, size)


def random_rows(largest: Tensor, seed: int) -> Codebooks:
    """The floor: rows of the largest codebook at random."""
    order = torch.randperm(largest.shape[1], generator=torch.Generator().manual_seed(seed))
    return lambda size: largest[:, order[:size]]


class FreeTable(nn.Module):
    """One table that is trained itself; its first K rows are the codebook of size K."""

    rate = TABLE_RATE

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(start.clone())


class Generated(nn.Module):
    """The table that RAQ's generator writes from a base (G, K, d)."""

    rate = LSTM_RATE

    def __init__(self, base: Tensor, *, cross_forcing: bool) -> None:
        super().__init__()
        self.base, self.generator = nn.Buffer(base), Seq2Seq(base.shape[2], cross_forcing=cross_forcing)

    @property
    def rows(self) -> Tensor:
        written: Tensor = self.generator(self.base)
        return written


class Seq2Seq(nn.Module):
    """RAQ's generator: an LSTM reads the base, another one writes all rows. Linear output, no dropout.

    Cross-forced, the first 2K steps are given the base's codewords, in turn; the later ones, or all, nothing. Since
    nothing of what is wanted is given to it, it too writes a table whose first K rows are the codebook of size K.
    """

    def __init__(self, d: int, *, cross_forcing: bool) -> None:
        super().__init__()
        self.cross_forcing = cross_forcing
        self.encoder = nn.LSTM(d, HIDDEN, 2, batch_first=True)
        self.decoder = nn.LSTM(d, HIDDEN, 2, batch_first=True)
        self.output = nn.Linear(HIDDEN, d)

    def forward(self, base: Tensor) -> Tensor:
        """Base (G, K, d) to rows (G, LARGEST, d)."""
        groups, count, d = base.shape
        given = base.new_zeros(groups, LARGEST, d)
        if self.cross_forcing:
            given[:, : 2 * count] = base.detach().repeat(1, 2, 1)
        _, state = self.encoder(base)
        written: Tensor = self.output(self.decoder(given, state)[0])
        return written


def trained(table: FreeTable | Generated, x: Tensor, seed: int) -> Codebooks:
    """Trains a table, or what writes it, on latents x (N, G, d); what is evaluated is what was trained: its rows."""
    torch.manual_seed(seed)
    train_rows(lambda: table.rows, table, x, table.rate)
    with torch.no_grad():
        found = table.rows.detach()
    return lambda size: found[:, :size]


def train_rows(rows_of: Callable[[], Tensor], module: nn.Module, x: Tensor, rate: float) -> None:
    """Trains what gives the rows: eq. 2's codebook loss at size 2, the largest, and one of each octave."""
    optimiser = torch.optim.Adam(module.parameters(), rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=STEPS)
    for _ in range(STEPS):
        rows, some = rows_of(), x[torch.randint(len(x), (BATCH,))]
        index = nearest_of_first(distances(some, rows.detach()), _drawn())
        loss = torch.stack([F.mse_loss(pick(rows, of), some) for of in index.values()]).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        cycle.step()


def _drawn() -> Sequence[int]:
    octaves = torch.arange(1, LARGEST.bit_length() - 1)
    return sorted({2, *(2 ** (octaves + torch.rand(len(octaves)))).int().tolist(), LARGEST})


def sqnr(x: Tensor, codewords: Tensor) -> float:
    """Signal to quantisation noise in dB: 10 log10 of the latents' variance over the mean squared error."""
    error = 0.0
    for some in x.split(4096):
        index = distances(some, codewords).argmin(-1)
        error += float((some - pick(codewords, index)).square().sum())
    return round(10 * float(torch.log10((x - x.mean(0)).square().sum() / error)), 3)
