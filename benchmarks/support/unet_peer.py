"""The side of `unet_training.py` that runs PyTorch, in an environment of its own.

Reads numbers of steps from its standard input, and answers each with the seconds of a step: the clock's, the
CPU's. The network is that of `components/models/unet.py`, layer by layer.
"""

import resource
import sys
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn


def block(fan: int, filters: int, normalization: str) -> nn.Sequential:
    """Returns two convolutions, each normalized and rectified."""
    norm = {"batch": nn.BatchNorm3d, "instance": nn.InstanceNorm3d}[normalization]
    layers: list[nn.Module] = []
    for given in (fan, filters):
        layers += [
            nn.Conv3d(given, filters, 3, padding=1, bias=False),
            norm(filters, affine=True),
            nn.ReLU(True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """A U-Net of as many levels as there are filters, and three classes."""

    def __init__(self, filters: list[int], normalization: str) -> None:
        super().__init__()
        fans = [1, *filters[:-1]]
        self.down = nn.ModuleList(
            block(fan, each, normalization) for fan, each in zip(fans, filters, strict=True)
        )
        self.up = nn.ModuleList(nn.ConvTranspose3d(below, each, 2, 2) for each, below in pairwise(filters))
        self.blocks = nn.ModuleList(block(2 * each, each, normalization) for each in filters[:-1])
        self.pool = nn.MaxPool3d(2)
        self.logits = nn.Conv3d(filters[0], 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns logits [batch, 3, depth, height, width]."""
        skips = []
        for level, layer in enumerate(self.down):
            x = layer(self.pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for level in reversed(range(len(skips))):
            x = self.blocks[level](torch.cat([skips[level], self.up[level](x)], dim=1))
        return self.logits(x)


def loss_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Returns Dice's loss plus the cross-entropy; segmentation.py has the same."""
    probabilities = logits.softmax(dim=1)
    right = nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    overlap = (probabilities * right).sum(dim=(2, 3, 4))
    total = (probabilities + right).sum(dim=(2, 3, 4))
    dice = (2 * overlap + 1) / (total + 1)
    return (1 - dice).mean() + nn.functional.cross_entropy(logits, labels)


def main(size: int, filters: list[int], normalization: str, batch_size: int, threads: int) -> None:
    """Answers until its input ends."""
    torch.set_num_threads(threads)
    # Channels last, as ours has them: PyTorch's faster layout on a CPU.
    layout = {"memory_format": torch.channels_last_3d}
    model = UNet(filters, normalization).train().to(**layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.99, nesterov=True)
    image = np.random.default_rng(0).normal(size=(batch_size, size, size, size)).astype(np.float32)
    images, labels = torch.tensor(image)[:, None].to(**layout), torch.tensor(np.digitize(image, [1, 2]))
    for line in sys.stdin:
        steps = int(line)
        clock, cpu = time.perf_counter(), cpu_s()
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(model(images), labels).backward()
            optimizer.step()
        print((time.perf_counter() - clock) / steps, (cpu_s() - cpu) / steps, flush=True)


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(
        int(sys.argv[1]), [int(each) for each in sys.argv[2].split(",")], sys.argv[3],
        int(sys.argv[4]), int(sys.argv[5]),
    )  # fmt: skip
