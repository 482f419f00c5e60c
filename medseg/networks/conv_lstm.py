"""The convolutional LSTM, as Keras' ConvLSTM2D computes it, one way and both ways."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class ConvLSTM(nn.Module):
    """An LSTM whose products are convolutions; it reads a sequence of images and gives its last output.

    With * a convolution, ∘ an element-wise product and s(x) = clip(0.2 x + 0.5, 0, 1), each image X changes the cell C
    and the output H, both 0 before the first image:

        i, f, o = s(W_i * X + U_i * H + b_i), s(W_f * X + U_f * H + b_f), s(W_o * X + U_o * H + b_o)
        C = f ∘ C + i ∘ tanh(W_c * X + U_c * H + b_c)
        H = o ∘ tanh(C)

    Shi et al., "Convolutional LSTM Network", https://doi.org/10.48550/arXiv.1506.04214, without its peepholes (the
    products of C within the gates) and, like Keras 2's ``ConvLSTM2D``, with s in place of the sigmoid; it is not
    ``torch.nn.Hardsigmoid``, whose slope is 1/6. Initialised as in Keras: W Glorot-uniform, U orthogonal, the bias of
    the forget gate 1, all others 0.

    Args:
        in_channels: channels of each image.
        hidden_channels: channels of the output.
        kernel_size: side of the kernels in pixels, odd.
        backwards: read the last image of the sequence first (Keras' ``go_backwards``).
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int = 3, backwards: bool = False) -> None:
        super().__init__()
        self.backwards = backwards
        gates = 4 * hidden_channels  # i, f, c, o
        self.input = nn.Conv2d(in_channels, gates, kernel_size, padding="same")
        self.recurrent = nn.Conv2d(hidden_channels, gates, kernel_size, padding="same", bias=False)
        nn.init.xavier_uniform_(self.input.weight)
        nn.init.orthogonal_(self.recurrent.weight)
        with torch.no_grad():
            self.input.bias.zero_()
            self.input.bias[hidden_channels : 2 * hidden_channels] = 1

    def forward(self, sequence: Sequence[torch.Tensor]) -> torch.Tensor:
        """The output (B, hidden_channels, X, Y) after the last of the images read, each (B, in_channels, X, Y)."""
        first, *others = list(sequence)[::-1] if self.backwards else list(sequence)
        entrance, _, candidate, exit_ = self.input(first).chunk(4, dim=1)  # nothing to forget yet
        cell = hard_sigmoid(entrance) * torch.tanh(candidate)
        output = hard_sigmoid(exit_) * torch.tanh(cell)
        for image in others:
            entrance, forget, candidate, exit_ = (self.input(image) + self.recurrent(output)).chunk(4, dim=1)
            cell = hard_sigmoid(forget) * cell + hard_sigmoid(entrance) * torch.tanh(candidate)
            output = hard_sigmoid(exit_) * torch.tanh(cell)
        return output


class BidirectionalConvLSTM(nn.Module):
    """Two ConvLSTMs that read a sequence in opposite directions, their last outputs mixed.

        Y = tanh(W_f * H_f + W_b * H_b + b)

    as in Azad et al., https://doi.org/10.48550/arXiv.1909.00166. H_f and H_b are what each direction gives after it
    has read the whole sequence. W has the kernel size of the ConvLSTMs and is initialised like their W.

    Args:
        in_channels: channels of each image.
        hidden_channels: channels of H_f, of H_b and of Y.
        kernel_size: side of the kernels in pixels, odd.
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.forwards = ConvLSTM(in_channels, hidden_channels, kernel_size)
        self.backwards = ConvLSTM(in_channels, hidden_channels, kernel_size, backwards=True)
        self.mix = nn.Conv2d(2 * hidden_channels, hidden_channels, kernel_size, padding="same")
        nn.init.xavier_uniform_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, sequence: Sequence[torch.Tensor]) -> torch.Tensor:
        """Y (B, hidden_channels, X, Y) of images that are (B, in_channels, X, Y) each."""
        both = torch.cat([self.forwards(sequence), self.backwards(sequence)], dim=1)
        return torch.tanh(self.mix(both))


def hard_sigmoid(x: torch.Tensor) -> torch.Tensor:
    """Keras 2's: clip(0.2 x + 0.5, 0, 1)."""
    return (0.2 * x + 0.5).clamp(0, 1)
