"""An exported network against the network."""

import numpy as np
import onnxruntime
import torch


def assert_onnx_gives_the_same(network, images, path):
    """ONNX Runtime's logits are PyTorch's, for the batch (B, C, …) that was traced and for one image more."""
    more = torch.cat([images, 2 * images])[: len(images) + 1]
    torch.onnx.export(network, (images,), path, input_names=["image"], output_names=["pred"],
                      dynamic_axes={"image": {0: "batch"}}, opset_version=17, dynamo=False)  # fmt: skip
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for given in (images, more):
        (found,) = session.run(None, {"image": given.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, network(given).numpy(), atol=1e-5)
