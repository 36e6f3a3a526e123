"""Published weights of other projects as models of segwright, with the same outputs (docs/published-weights.md).

There is one file per project. It defines ``FAMILY``, which ``load`` lists in its table ``FAMILIES``.

load                files of a project -> model; ``convert`` writes it as a model file
description         what an importer returns: config, input, renamed keys
csail               CSAIL's semantic-segmentation-pytorch
deeplab_voc         Pytorch-Deeplab
detectron2          Detectron2's DeepLab and Panoptic-DeepLab
eomt                EoMT, of its repository and of transformers
mmsegmentation      OpenMMLab's mmsegmentation
panoptic_deeplab    panoptic-deeplab
smp                 segmentation_models_pytorch
toolbox             pytorch-segmentation-toolbox
torchvision         torchvision
tutorial            the MiniCity tutorial
"""

from segwright.importers.load import FAMILIES, convert, load

__all__ = ["FAMILIES", "convert", "load"]
