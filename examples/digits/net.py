"""A small convolutional network for 8x8 pictures of digits."""

from __future__ import annotations

from torch import Tensor, nn


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch norm, ReLU: [b,i,h,w] -> [b,o,h,w]."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        )


class DigitNet(nn.Module):
    """94 thousand parameters; image [b,1,8,8] in 0..1 -> logits [b,10]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(ConvBlock(1, 32), ConvBlock(32, 64), nn.MaxPool2d(2), ConvBlock(64, 128))
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(128, 10)

    def forward(self, image: Tensor) -> Tensor:
        pooled = self.features(image).mean(dim=(2, 3))
        return self.classifier(self.dropout(pooled))


def build() -> nn.Module:
    """The factory that targets.toml names; edgetool loads the weights into what it returns."""
    return DigitNet()
