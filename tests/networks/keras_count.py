"""How Keras counts a network's parameters."""


def keras_total(network):
    """Trainable parameters, and the batch normalisations' running means and variances."""
    statistics = [buffer for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
    return sum(tensor.numel() for tensor in [*network.parameters(), *statistics])
