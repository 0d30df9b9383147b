"""EfficientNet (Tan & Le, 2019, https://arxiv.org/abs/1905.11946), the lite0 variant: without squeeze-and-excitation,
and with ReLU6 for swish, so that it quantizes well. Parameters are named as in its weights file, hence the underscores.
"""

from __future__ import annotations

from torch import Tensor, nn

STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)
"""Table 1 of the paper: expansion, channels, repeats, kernel, stride of the first repeat."""


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow pads an even side: where the padding is odd, the far end gets more of it."""

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)
        near = (kernel - stride) // 2
        far = kernel - stride - near
        self.pad = nn.Identity() if stride == 1 else nn.ZeroPad2d((near, far, near, far))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.pad(x))


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """TensorFlow's epsilon."""
    return nn.BatchNorm2d(channels, eps=1e-3)


class MBConv(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, project back; a shortcut where the shape stays."""

    def __init__(self, channels_in: int, channels_out: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self._expand_conv = SameConv(channels_in, hidden) if expansion > 1 else None
        self._bn0 = batch_norm(hidden) if expansion > 1 else None
        self._depthwise_conv = SameConv(hidden, hidden, kernel=kernel, stride=stride, groups=hidden)
        self._bn1 = batch_norm(hidden)
        self._project_conv = SameConv(hidden, channels_out)
        self._bn2 = batch_norm(channels_out)
        self.relu = nn.ReLU6()
        self.has_shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self._expand_conv is None else self.relu(self._bn0(self._expand_conv(x)))
        y = self.relu(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.has_shortcut else y


class EfficientNetLite0(nn.Module):
    """4.65 million parameters; image [b,3,224,224], normalised -> logits [b,1000]."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, kernel=3, stride=2)
        self._bn0 = batch_norm(32)
        self._blocks = nn.Sequential(*_blocks(32))
        self._conv_head = SameConv(320, 1280)
        self._bn1 = batch_norm(1280)
        self._dropout = nn.Dropout(0.2)
        self._fc = nn.Linear(1280, 1000)
        self.relu = nn.ReLU6()

    def forward(self, image: Tensor) -> Tensor:
        x = self.relu(self._bn0(self._conv_stem(image)))
        x = self.relu(self._bn1(self._conv_head(self._blocks(x))))
        return self._fc(self._dropout(x.mean(dim=(2, 3))))


def _blocks(channels: int) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    for expansion, channels_out, repeats, kernel, first_stride in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            blocks.append(MBConv(channels, channels_out, expansion=expansion, kernel=kernel, stride=stride))
            channels = channels_out
    return blocks


def build() -> nn.Module:
    """The factory that targets.toml names; edgetool loads the weights into what it returns."""
    return EfficientNetLite0()
