"""MCGU-Net: BCDU-Net with VGG16's encoder, and squeeze and excitation in the decoder."""

from __future__ import annotations

from torch import nn

from medseg.networks.bcdu_blocks import DenselyConnected, DenseRecurrentUNet, RecurrentUp, convolutions, head
from medseg.networks.fit import channels_last
from medseg.settings import whole_number


class MCGUNet(DenseRecurrentUNet):
    """The network of Asadi-Aghbolaghi et al., "Multi-level Context Gating of Embedded Collective Knowledge" (2020).

    https://doi.org/10.48550/arXiv.2003.05056, as its authors released it for Keras (``SEDU_Net_D3`` in
    https://github.com/rezazad68/BCDU-Net). It differs from `BCDUNet` with three dense blocks in this: the encoder and
    the first dense block are VGG16's first four (two, two, three and three convolutions), without dropout on any of
    them; the ConvLSTMs have as many channels as their level; squeeze and excitation (reduction 16) weights the
    channels before each batch normalisation and behind each pair of the decoder's convolutions.

    The authors begin with VGG16's ImageNet weights. Nothing is downloaded here: all weights are drawn at random.

    For RGB and one logit there are 27,891,005 parameters, for grey 27,889,853; Keras counts the batch normalisations'
    running means and variances too, 896 more.

    Args:
        in_channels: channels of the image.
        out_channels: logits for each pixel. The head's hidden layer has two channels for each.
        width: channels of the finest level, at least 2.
        bidirectional: read each sequence in both directions, as the paper has it; released was backwards alone.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 64, bidirectional: bool = False) -> None:
        super().__init__()
        first, second, third, bottom = (whole_number("width", width, least=2) * 2**level for level in range(4))
        self.levels = nn.ModuleList(
            [convolutions(in_channels, first), convolutions(first, second), convolutions(second, third, count=3)]
        )
        self.dropout = nn.Identity()
        self.dense = DenselyConnected(convolutions(third, bottom, count=3), bottom, blocks=3)
        self.ups = nn.ModuleList(
            RecurrentUp(below, channels, channels, bidirectional, squeeze=True)
            for below, channels in [(bottom, third), (third, second), (second, first)]
        )
        self.head = head(first, out_channels)
        channels_last(self)
