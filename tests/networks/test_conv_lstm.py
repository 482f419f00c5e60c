import numpy as np
import pytest
import torch
from scipy import signal

from medseg.networks.conv_lstm import BidirectionalConvLSTM, ConvLSTM, hard_sigmoid

IN, HIDDEN, SIZE = 3, 2, (6, 5)


def sequence(length=3, channels=IN, scale=2.0):
    images = torch.rand(length, 1, channels, *SIZE, generator=torch.Generator().manual_seed(1))
    return list(scale * (2 * images - 1))


def random_lstm(backwards=False, seed=0):
    """One with large weights and biases of its own in each gate, so that gates saturate and no gate is like another."""
    torch.manual_seed(seed)
    lstm = ConvLSTM(IN, HIDDEN, backwards=backwards)
    for parameter in lstm.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return lstm


def convolved(image, kernel):
    """Zero-padded cross-correlation: image (C, X, Y), kernel (F, C, 3, 3), result (F, X, Y)."""
    return np.stack([
        sum(signal.correlate2d(channel, plane, mode="same") for channel, plane in zip(image, planes, strict=True))
        for planes in kernel
    ])  # fmt: skip


def by_hand(lstm, images):
    """Keras' equations, a gate at a time, in float64."""
    kernels, recurrent, bias = (p.detach().double().numpy() for p in
                                (lstm.input.weight, lstm.recurrent.weight, lstm.input.bias))  # fmt: skip
    cell = output = np.zeros((HIDDEN, *SIZE))
    for image in images:
        total = []
        for gate in range(4):
            part = slice(gate * HIDDEN, (gate + 1) * HIDDEN)
            total.append(convolved(image[0].double().numpy(), kernels[part])
                         + convolved(output, recurrent[part]) + bias[part, None, None])  # fmt: skip
        i, f, o = (np.clip(0.2 * total[gate] + 0.5, 0, 1) for gate in (0, 1, 3))
        cell = f * cell + i * np.tanh(total[2])
        output = o * np.tanh(cell)
    return output


def test_hard_sigmoid_is_the_one_of_keras():
    x = torch.tensor([-9.0, -2.5, -1.0, 0.0, 1.0, 2.5, 9.0])
    torch.testing.assert_close(hard_sigmoid(x), torch.tensor([0.0, 0.0, 0.3, 0.5, 0.7, 1.0, 1.0]))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_it_follows_the_equations(length):
    lstm, images = random_lstm(), sequence(length)
    output = lstm(images)
    assert output.shape == (1, HIDDEN, *SIZE)
    np.testing.assert_allclose(output[0].detach().numpy(), by_hand(lstm, images), atol=1e-5)


def test_the_images_of_a_batch_do_not_meet():
    lstm, first, second = random_lstm(), sequence(2), sequence(2, scale=1.0)
    both = lstm([torch.cat(pair) for pair in zip(first, second, strict=True)])
    torch.testing.assert_close(both, torch.cat([lstm(first), lstm(second)]))


def test_backwards_is_the_reversed_sequence_and_order_matters():
    images = sequence()
    forwards, backwards = random_lstm(), random_lstm(backwards=True)
    backwards.load_state_dict(forwards.state_dict())
    torch.testing.assert_close(backwards(images), forwards(images[::-1]))
    assert (backwards(images) - forwards(images)).abs().max() > 0.05
    torch.testing.assert_close(forwards(torch.stack(images)), forwards(images))  # a tensor (T, B, C, X, Y) will do
    torch.testing.assert_close(backwards(torch.stack(images)), backwards(images))


def test_the_forget_gate_begins_open():
    bias = ConvLSTM(IN, HIDDEN).input.bias.tolist()
    assert bias == [0, 0, 1, 1, 0, 0, 0, 0]  # i, f, c, o


def test_the_recurrent_kernel_is_orthogonal():
    torch.manual_seed(0)
    kernel = ConvLSTM(IN, 8).recurrent.weight.detach()  # (out, in, rows, columns)
    keras = kernel.permute(2, 3, 1, 0).reshape(3 * 3 * 8, 4 * 8)  # rows, columns, in | out
    torch.testing.assert_close(keras.T @ keras, torch.eye(4 * 8), atol=1e-5, rtol=0)


def test_the_input_kernel_is_uniform_after_glorot():
    torch.manual_seed(0)
    weight = ConvLSTM(16, 8).input.weight.detach()
    limit = np.sqrt(6 / (9 * 16 + 9 * 4 * 8))
    assert 0.98 * limit < weight.abs().max() <= limit
    assert weight.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_parameter_count_is_that_of_keras():
    lstm = ConvLSTM(64, 32)  # 4 * (3 * 3 * (in + hidden) * hidden + hidden)
    assert sum(parameter.numel() for parameter in lstm.parameters()) == 110_720


def test_both_directions_are_mixed_as_in_the_paper():
    torch.manual_seed(0)
    network, images = BidirectionalConvLSTM(IN, HIDDEN), sequence()
    torch.nn.init.normal_(network.mix.bias)
    weight, bias = network.mix.weight.detach().numpy(), network.mix.bias.detach().numpy()
    ahead, back = by_hand(network.forwards, images), by_hand(network.backwards, images[::-1])
    expected = np.tanh(convolved(ahead, weight[:, :HIDDEN]) + convolved(back, weight[:, HIDDEN:]) + bias[:, None, None])
    np.testing.assert_allclose(network(images)[0].detach().numpy(), expected, atol=1e-5)


def test_each_direction_has_weights_of_its_own():
    network = BidirectionalConvLSTM(IN, HIDDEN)
    assert not torch.equal(network.forwards.input.weight, network.backwards.input.weight)
    single = sum(parameter.numel() for parameter in network.forwards.parameters())
    total = sum(parameter.numel() for parameter in network.parameters())
    assert total == 2 * single + 3 * 3 * 2 * HIDDEN * HIDDEN + HIDDEN
