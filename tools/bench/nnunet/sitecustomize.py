"""Lets nnU-Net start on a torch without CUDA: timm imports torchvision, whose operators are only in its CUDA builds."""

import torch

torchvision_operators = torch.library.Library("torchvision", "FRAGMENT")  # kept alive, or the names vanish
torchvision_operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
torchvision_operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
