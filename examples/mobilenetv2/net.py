"""MobileNetV2 (Sandler et al., 2018, https://arxiv.org/abs/1801.04381), with the parameter names of its weights."""

from __future__ import annotations

from torch import Tensor, nn

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Table 2 of the paper: expansion, channels, repeats, stride of the first repeat."""


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, ReLU6."""

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU6(),
        )


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, project back; a shortcut where the shape stays."""

    def __init__(self, channels_in: int, channels_out: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.conv = nn.Sequential(
            *([ConvBlock(channels_in, hidden, kernel=1)] if expansion > 1 else []),
            ConvBlock(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, channels_out, kernel_size=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.has_shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.has_shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """3.5 million parameters; image [b,3,224,224], normalised -> logits [b,1000]."""

    def __init__(self) -> None:
        super().__init__()
        channels = 32
        blocks: list[nn.Module] = [ConvBlock(3, channels, stride=2)]
        for expansion, channels_out, repeats, first_stride in STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(InvertedResidual(channels, channels_out, expansion=expansion, stride=stride))
                channels = channels_out
        self.features = nn.Sequential(*blocks, ConvBlock(channels, 1280, kernel=1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier(self.features(image).mean(dim=(2, 3)))


def build() -> nn.Module:
    """The factory that targets.toml names; edgetool loads the weights into what it returns."""
    return MobileNetV2()
