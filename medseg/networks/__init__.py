"""Networks that MONAI lacks, each named as its paper names it. All are of pictures, and give logits of their size."""

from medseg.networks.bcdu_net import BCDUNet
from medseg.networks.map_net import MAPNet
from medseg.networks.mcgu_net import MCGUNet
from medseg.networks.r2u_net import R2UNet
from medseg.networks.small_unet import SmallUNet
from medseg.networks.unet import UNet

__all__ = ["BCDUNet", "MAPNet", "MCGUNet", "R2UNet", "SmallUNet", "UNet"]
