"""Backbones: networks that are cut in two.

A new backbone is one file with a `Backbone`, and one line here.
"""

from __future__ import annotations

from training.backbones.base import Backbone, Normalise
from training.backbones.efficientnet_lite import EfficientNetLite2
from training.backbones.mobilenet_v2 import MobileNetV2Backbone
from training.backbones.transformer import MobileNetV2Transformer
from training.backbones.vit import VisionTransformer
from training.backbones.vqvae import VqVae

__all__ = ["BACKBONES", "Backbone", "Normalise"]

BACKBONES: dict[str, Backbone] = {
    "mobilenet_v2": MobileNetV2Backbone(),
    "mobilenet_v2-transformer": MobileNetV2Transformer(),
    "efficientnet-lite2": EfficientNetLite2(),
    "vqvae": VqVae(),
    "vit-small": VisionTransformer(),
}
