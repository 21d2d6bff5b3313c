"""The network of digit_scenes 1 and 2."""

import torch
from torch import nn

CLASSES = 10
STRIDE = 4  # pixels a cell
CANDIDATES = 20
LEAST = 0.05  # what scores less is no candidate: near 0 the order of two is a matter of rounding
TIE = 1e-3


class SceneNetwork(nn.Module):
    """Images [rows, 1, height, width] from 0 to 1 to candidates: boxes [rows, 20, 4], scores [rows, 20], labels [rows, 20].

    Each cell of 4 x 4 pixels says for every class how surely a digit has its centre there, and how far that digit reaches to
    the left, the top, the right and the bottom. A cell and a class that nothing among the 3 x 3 neighbours beats are a candidate.

    Sources:
        Zhou, Wang, Krähenbühl: Objects as Points (2019). Tian, Shen, Chen, He: FCOS (2019).
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_block(1, 16, 2), _block(16, 32, 2))
        self.coarse = nn.Sequential(_block(32, 48, 2), _block(48, 48), nn.Upsample(scale_factor=2))
        self.joined = nn.Sequential(_block(32 + 48, 48))
        self.heat = nn.Conv2d(48, CLASSES, 1)
        self.reach = nn.Conv2d(48, 4, 1)
        nn.init.constant_(self.heat.bias, -4.0)  # type: ignore[arg-type]  # nearly every cell is the centre of nothing

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The best candidates first; those that are none have score, box and label 0."""
        heat, boxes = self.maps(images)
        beaten = nn.functional.max_pool2d(heat.amax(1, keepdim=True), 3, 1, 1) > heat + TIE
        scores = heat.sigmoid().masked_fill(beaten, 0.0).flatten(1)
        best, places = scores.topk(CANDIDATES)
        cells = heat.shape[2] * heat.shape[3]
        chosen = boxes.flatten(2).transpose(1, 2).gather(1, (places % cells).unsqueeze(2).expand(-1, -1, 4))
        found = best > LEAST
        return chosen * found.unsqueeze(2), best * found, (places // cells) * found

    def maps(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """For each cell scores of the classes before sigmoid [rows, 10, …], and the box around it in pixels [rows, 4, …]."""
        fine = self.fine(images)
        features = self.joined(torch.cat([fine, self.coarse(fine)], 1))
        heat = self.heat(features).float()
        left, top, right, bottom = nn.functional.softplus(self.reach(features).float()).mul(STRIDE).unbind(1)
        x = (torch.arange(heat.shape[3], device=heat.device) + 0.5) * STRIDE
        y = (torch.arange(heat.shape[2], device=heat.device) + 0.5).unsqueeze(1) * STRIDE
        return heat, torch.stack([x - left, y - top, x + right, y + bottom], 1)


def _block(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())
