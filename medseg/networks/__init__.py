"""Networks that MONAI lacks, each named as its paper names it, and some of MONAI's made to give logits alone.

All give logits of the image's size. The former are of pictures, the latter of volumes too.
"""

from medseg.networks.attention_unet import AttentionUnet
from medseg.networks.auto_encoder import AutoEncoder
from medseg.networks.bcdu_net import BCDUNet
from medseg.networks.complement_unet import ComplementUNet
from medseg.networks.gaussian_mixture import GaussianMixture
from medseg.networks.map_net import MAPNet
from medseg.networks.mcgu_net import MCGUNet
from medseg.networks.r2u_net import R2UNet
from medseg.networks.small_unet import SmallUNet
from medseg.networks.unet import UNet
from medseg.networks.v_net import VNet
from medseg.networks.var_auto_encoder import VarAutoEncoder
from medseg.networks.vit_auto_enc import ViTAutoEnc

__all__ = [
    "AttentionUnet", "AutoEncoder", "BCDUNet", "ComplementUNet", "GaussianMixture", "MAPNet", "MCGUNet", "R2UNet",
    "SmallUNet", "UNet", "VNet", "VarAutoEncoder", "ViTAutoEnc",
]  # fmt: skip
