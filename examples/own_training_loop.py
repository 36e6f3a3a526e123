"""Train in a PyTorch loop of your own, with a dataset, network, loss and metric of segwright.

python own_training_loop.py [STEPS]
"""

import sys

import numpy as np
import torch
from torch.utils.data import DataLoader

import segwright as sw

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200
dataset = sw.data.datasets.StreetScenes(train=400, val=20)  # your files: Folder().open("ROOT", "train")
train, val = dataset.open(None, "train"), dataset.open(None, "val")


def collate(samples):
    """Images uint8 [N, 3, H, W] and class indices [N, H, W], 255 = ignored."""
    images = np.stack([sample.image for sample in samples])
    masks = np.stack([sample.semantic() for sample in samples])
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks)


def batches(loader):
    """Endless batches."""
    while True:
        yield from loader


device = "cuda" if torch.cuda.is_available() else "cpu"
# Or "unet", backbone="resnet18", weights="imagenet".
net = sw.models.build("small_fpn", labels=train.labels).to(device)
loss = sw.losses.SumOfLosses((sw.losses.CrossEntropy(), sw.losses.Dice(0.5)))
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=steps)

loader = DataLoader(train, batch_size=4, shuffle=True, collate_fn=collate)
for step, (images, masks) in zip(range(1, steps + 1), batches(loader), strict=False):
    logits = net(net.input.normalize(images.to(device)))  # [N, classes, H, W]
    value = loss.mean(logits, masks.to(device))
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    schedule.step()
    if step % 20 == 0 or step == steps:
        print(f"step {step}: loss {value.item():.3f}")

net.eval()
confusion = sw.metrics.ConfusionMatrix(classes=len(val.labels))
for sample in val:
    confusion.add(sw.predict(net, sample.image).semantic, sample.semantic())
scores = confusion.result()
print(f"mIoU {scores.miou:.3f}, pixel accuracy {scores.pixel_accuracy:.3f}")
