"""One training in several processes, which torchrun starts: each has a device of its own and a share of every batch.

Weights, statistics and the numbers that order the pictures are the same in all of them; what is drawn for a picture
is each one's own. Without torchrun there is one process, and nothing here does anything.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from wire.exceptions import TrainingError

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=1)
"""For what the first process does alone; torchrun ends them all where one has failed."""


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the one that writes and prints."""
    return not dist.is_initialized() or dist.get_rank() == 0


def _device(wanted: str, gpus: int) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if gpus else "cpu")
    kind, _, number = wanted.partition(":")
    if wanted == "cpu" or (kind == "cuda" and (number.isdecimal() or wanted == "cuda") and int(number or 0) < gpus):
        return torch.device(wanted)
    there = f"cpu, cuda, and cuda:0 to cuda:{gpus - 1}" if gpus else "cpu"
    raise TrainingError(f"There is no device {wanted!r} here; name one of {there}, or auto.")


@contextlib.contextmanager
def joined(wanted: str = "auto") -> Iterator[torch.device]:
    """The device of this process, which trains with the others that torchrun has started; only the first one prints.

    wanted: cpu, cuda, or cuda:NUMBER; auto is a GPU where there is one. With torchrun each process has its own.

    Raises:
        TrainingError: if there are fewer GPUs than processes, or no such device.
    """
    gpus = torch.cuda.device_count()
    if wanted != "auto" and dist.is_torchelastic_launched():
        raise TrainingError("torchrun gives each process a device; leave --device out.")
    if not dist.is_torchelastic_launched():
        yield _device(wanted, gpus)
        return
    local, beside = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if 0 < gpus < beside:
        raise TrainingError(
            f"{beside} processes want a GPU each, and this machine has {gpus}; start torchrun with "
            f"--nproc-per-node={gpus}, or with CUDA_VISIBLE_DEVICES= in the environment to train on CPUs."
        )
    device = torch.device("cuda", local) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if gpus else "gloo", timeout=LONGEST_WAIT, device_id=device if gpus else None)
    try:
        with contextlib.ExitStack() as quiet:
            if not is_first():
                nowhere = quiet.enter_context(open(os.devnull, "w"))
                quiet.enter_context(contextlib.redirect_stdout(nowhere))
                quiet.enter_context(contextlib.redirect_stderr(nowhere))
            yield device
        dist.barrier()
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def first_before_others() -> Iterator[None]:
    """The first process goes through this block alone; the others follow, and find what it left."""
    if count() > 1 and not is_first():
        dist.barrier()
    yield
    if count() > 1 and is_first():
        dist.barrier()


def of_first(value: Callable[[], T]) -> T:
    """What the first process finds, in all of them."""
    if count() == 1:
        return value()
    found = [value() if is_first() else None]
    dist.broadcast_object_list(found, 0)
    return found[0]  # type: ignore[return-value]


def mean(value: float, device: torch.device) -> float:
    """The mean of all processes' values, in all of them."""
    if count() == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return float(total) / count()


def share(rows: Tensor) -> Tensor:
    """Those of a batch's rows (B,) that this process has; shares differ by one at most."""
    return rows if count() == 1 else rows.tensor_split(count())[dist.get_rank()]


@contextlib.contextmanager
def own_random_numbers() -> Iterator[None]:
    """Random numbers that no other process draws; afterwards all of them go on with common ones."""
    if count() == 1:
        yield
        return
    seed = int(torch.randint(2**62, ()))
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        torch.manual_seed(seed + dist.get_rank())
        yield


def averaged_loss(trained: nn.Module, loss_of: Callable[[T], Tensor], batch: int) -> Callable[[T, int], Tensor]:
    """The loss of (a process's share, its pictures), whose gradients become those of the whole batch's mean loss.

    Begins with the first process's weights and random numbers in all of them.

    Raises:
        TrainingError: if there are fewer pictures in a batch than processes.
    """
    if count() == 1:
        return lambda part, _: loss_of(part)
    if batch < count():
        raise TrainingError(
            f"A batch of {batch} pictures cannot be shared by {count()} processes; start {batch} at most."
        )
    torch.set_rng_state(of_first(torch.get_rng_state))
    _share_statistics(trained)
    loss = DistributedDataParallel(_Loss(trained, loss_of), broadcast_buffers=False)
    return lambda part, pictures: loss(part) * (pictures * count() / batch)


class _Loss(nn.Module):
    def __init__(self, trained: nn.Module, loss_of: Callable[[T], Tensor]) -> None:
        super().__init__()
        self.trained, self.loss_of = trained, loss_of

    def forward(self, part: T) -> Tensor:
        return self.loss_of(part)  # type: ignore[arg-type]


def _share_statistics(trained: nn.Module) -> None:
    """Has every BatchNorm see the whole batch."""
    if next(trained.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(trained)
        return
    for module in trained.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm  # with the parameters that it has


class SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm by the mean and the variance of all processes' pictures, on CPUs: torch's own is for GPUs alone."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), unbiased=False)
        mean, variance = mean.double(), variance.double()
        number = mean.new_tensor([x.numel() / x.shape[1]])
        sums: Tensor = _Sum.apply(torch.cat([mean * number, (variance + mean.square()) * number, number]))
        mean, square = (sums[:-1] / sums[-1]).chunk(2)
        variance = square - mean.square()
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum or 0.0)
            unbiased = variance * sums[-1] / (sums[-1] - 1)
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum or 0.0)
        gain = (variance + self.eps).rsqrt()
        offset = -mean * gain
        if self.affine:
            gain, offset = gain * self.weight, offset * self.weight + self.bias
        return x * gain.to(x)[:, None, None] + offset.to(x)[:, None, None]


class _Sum(torch.autograd.Function):
    """Of all processes' tensors; so is its gradient."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total
