"""BCDU-Net: a U-Net with dense connections at the bottom and ConvLSTMs where the skips are merged."""

from __future__ import annotations

from torch import nn

from medseg.networks.bcdu_blocks import DROPOUT, DenselyConnected, DenseRecurrentUNet, RecurrentUp, convolutions, head
from medseg.networks.fit import channels_last
from medseg.settings import whole_number


class BCDUNet(DenseRecurrentUNet):
    """The network of Azad et al., "Bi-Directional ConvLSTM U-Net with Densley Connected Convolutions" (2019).

    https://doi.org/10.48550/arXiv.1909.00166, as released for Keras (https://github.com/rezazad68/BCDU-Net). Encoder:
    two 3 x 3 convolutions with ReLU at each of 64, 128 and 256 channels, max-pooled by 2. Bottom: `dense_blocks` blocks
    of two convolutions of 512 channels, block n reading all blocks before it. Decoder: at each level a transposed
    convolution, batch normalisation and ReLU; a ConvLSTM of half the level's channels that reads the encoder's
    features and these as a sequence of two images; two convolutions. Dropout (0.5) stands behind each dense block and
    on the third level's skip, not on what is pooled there.

    The paper's ConvLSTM reads in both directions. The released layer is one ConvLSTM that reads backwards: the
    decoder's features first, the encoder's last. That is the default here; `bidirectional` gives the paper's
    Y = tanh(W_f * H_f + W_b * H_b + b). Of the released networks with one dense block, those for vessels and skin have
    dropout behind it, as here; the one for lungs has none there.

    For one channel and one logit there are 20,658,821 parameters, 8,860,293 with one dense block; Keras counts the
    batch normalisations' running means and variances too, 896 more.

    Args:
        in_channels: channels of the image.
        out_channels: logits for each pixel. The head's hidden layer has two channels for each.
        width: channels of the finest level, at least 2.
        dense_blocks: the paper's d; 1 and 3 were released.
        bidirectional: read each sequence in both directions.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        dense_blocks: int = 3,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        first, second, third, bottom = (whole_number("width", width, least=2) * 2**level for level in range(4))
        self.levels = nn.ModuleList(
            [convolutions(in_channels, first), convolutions(first, second), convolutions(second, third)]
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.dense = DenselyConnected(
            nn.Sequential(*convolutions(third, bottom), nn.Dropout(DROPOUT)),
            bottom,
            whole_number("dense_blocks", dense_blocks),
        )
        self.ups = nn.ModuleList(
            RecurrentUp(below, channels, channels // 2, bidirectional, squeeze=False)
            for below, channels in [(bottom, third), (third, second), (second, first)]
        )
        self.head = head(first, out_channels)
        channels_last(self)
