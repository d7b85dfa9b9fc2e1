"""The sides of `sliding_window.py` that run PyTorch, in an environment of its own: MONAI, nnU-Net's way.

`sliding_window_peer.py SIDE D H W PATCH THREADS FILTERS` prints JSON with the seconds of an answer, the
clock's and the CPU's, and what the process held in MiB before and at most. With FILTERS "" the network is one
convolution. "nnunet" adds up logits and weights of the whole volume in half precision, as nnU-Net does.
"""

import itertools
import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.inferers.utils import compute_importance_map
from torch import nn
from unet_peer import UNet, cpu_s

Network = Callable[[torch.Tensor], torch.Tensor]
OVERLAP = 0.5


def monai(image: torch.Tensor, patch: int, network: Network) -> torch.Tensor:
    return sliding_window_inference(
        image, (patch,) * 3, 1, network, OVERLAP, mode="gaussian", sigma_scale=1 / 8
    ).argmax(dim=1)


def nnunet(image: torch.Tensor, patch: int, network: Network) -> torch.Tensor:
    shape = image.shape[2:]
    sums = torch.zeros((3, *shape), dtype=torch.half)
    weights = torch.zeros(shape, dtype=torch.half)
    importance = compute_importance_map((patch,) * 3, "gaussian", 1 / 8).half()
    importance = importance.clamp(min=importance[importance > 0].min())
    for first in itertools.product(*(starts(size, patch) for size in shape)):
        at = tuple(slice(each, each + patch) for each in first)
        sums[(slice(None), *at)] += network(image[(slice(None), slice(None), *at)])[0].half() * importance
        weights[at] += importance
    torch.div(sums, weights, out=sums)
    return sums.argmax(dim=0)


def starts(size: int, patch: int) -> list[int]:
    """Returns the first voxels of patches along an axis, evenly from border to border."""
    count = 1 + -(-(size - patch) // int(patch * (1 - OVERLAP)))
    return [number * (size - patch) // max(count - 1, 1) for number in range(count)]


def main(side: str, *numbers: str) -> None:
    depth, height, width, patch, threads = map(int, numbers[:5])
    filters = [int(each) for each in numbers[5].split(",") if each]
    torch.set_num_threads(threads)
    network = UNet(filters, "instance").eval() if filters else nn.Conv3d(1, 3, 3, padding=1)
    voxels = np.random.default_rng(0).integers(-1000, 1000, (depth, height, width), np.int16)
    with torch.inference_mode():
        network(torch.zeros(1, 1, patch, patch, patch))
        before, clock, cpu = peak_mib(), time.perf_counter(), cpu_s()
        image = torch.from_numpy(voxels)[None, None].float().clamp_(-200, 200).div_(100)
        {"monai": monai, "nnunet": nnunet}[side](image, patch, network).to(torch.uint8)
    figures = {"seconds": time.perf_counter() - clock, "cpu_s": cpu_s() - cpu}
    print(json.dumps({**figures, "before_mib": before, "peak_mib": peak_mib()}))


def peak_mib() -> float:
    # Kilobytes on Linux.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
