"""Names of settings in other projects, so that an error can name the field of a recipe, or say what to do instead."""

from __future__ import annotations

_NAMES = {
    "batch": "batch_size bs samples_per_gpu ims_per_batch train_batch_size",
    "lr": "learning_rate base_lr lr0 max_lr",
    "epochs": "num_epochs max_epochs n_epochs epoch",
    "steps": "max_iters iterations iters num_steps max_steps max_iter num_iterations",
    "optim": "optimizer optimiser solver",
    "schedule": "scheduler lr_scheduler lr_schedule lr_policy",
    "loss": "criterion loss_fn losses",
    "backbone": "encoder encoder_name backbone_name",
    "model": "network net arch architecture",
    "augmentation": "augment augmentations transform transforms pipeline",
    "data": "dataset datasets",
    "workers": "num_workers workers_per_gpu",
    "size": "crop crop_size image_size imgsz img_size input_size image_sz patch_size resize",
    "patience": "early_stopping early_stop",
    "precision": "amp fp16 bf16 half mixed_precision",
    "accumulate": "accumulate_grad_batches grad_accum gradient_accumulation_steps accum_iter",
    "clip_norm": "grad_clip clip_grad gradient_clip_val max_grad_norm clip_grad_norm",
    "frozen": "freeze freeze_backbone freeze_encoder frozen_stages freeze_at",
    "weights": "pretrained encoder_weights pretrained_weights",
    "class_weights": "class_weight loss_weights",
    "warmup": "warmup_epochs warmup_steps warmup_iters",
    "seed": "random_seed",
    "weight_decay": "wd",
    "evaluate_every": "val_interval eval_period val_check_interval check_val_every_n_epoch",
    "save_every": "checkpoint_interval save_period checkpoint_period",
    "monitor": "metric save_best best_metric",
}
SYNONYMS = {other: name for name, others in _NAMES.items() for other in others.split()}
"""Names of settings in other projects: the error for one of them names the field of a recipe."""

_NAMES_WITHOUT_FIELD = {
    "num_classes classes nc n_classes nclass num_class": (
        "the data name the classes (classes.yaml, docs/own-data.md), and the network has as many outputs"
    ),
    "ignore_index ignore_label ignore_value void_label": (
        "list the ignored values under 'ignored' in classes.yaml (docs/own-data.md)"
    ),
    "device gpu gpus devices cuda": "use the option --device",
    "resume": "the same command resumes a stopped training",
    "save_dir output_dir work_dir out output project run_dir": "use the option --out",
    "checkpoint init load_from weights_path ckpt": "use the option --init",
}
REMEDIES = {name: remedy for names, remedy in _NAMES_WITHOUT_FIELD.items() for name in names.split()}
"""What other projects set, and a recipe does not have: what to do instead."""
