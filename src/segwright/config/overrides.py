"""Changes of fields as texts: ``--set optim.lr=3e-4 model=unet``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from segwright.config.field_values import coerce, value_of
from segwright.config.fields import field_types, parts, require_field
from segwright.config.foreign_names import REMEDIES, SYNONYMS
from segwright.config.named_objects import object_named
from segwright.errors import UserError


def override(config: Any, changes: Iterable[str]) -> None:
    """Set fields of ``config`` in place from ``path=value`` texts; ``UserError`` names the nearest field.

    A name stands for an object: "model=unet" for ``UNetConfig()``, "model.backbone=convnext_tiny" for a network of timm
    (``object_named``). The new object keeps what does not depend on its class: pretrained weights and output stride, or
    what an optimizer does not train and the factors of its learning rate. Objects are set before their fields, whatever
    the order of the texts. At the end ``config.settle(paths)``, if there is one, adapts what depends on the changed
    fields.
    """
    paths = set()
    for change in sorted(changes, key=lambda change: change.partition("=")[0].count(".")):
        path, text = _name_and_text(change, "a.b=value, for example optim.lr=3e-4")
        paths.add(path)
        *parents, last = path.split(".")
        _suggest_nested_field(config, path, change)
        owner = config
        for name in parents:
            owner = _inside(owner, name, change)
        kind = type(owner)
        require_field(kind, last, f"--set {change}")
        value = coerce(value_of(text), field_types(kind)[last], f"--set {change}", object_named)
        if dataclasses.is_dataclass(value):
            value = _inherit(value, getattr(owner, last))
        object.__setattr__(owner, last, value)  # also of a frozen one: recipes are copies
    if callable(settle := getattr(config, "settle", None)):
        settle(paths)


def settings(changes: Iterable[str]) -> dict[str, Any]:
    """The values of ``name=value`` texts by name; ``coerce`` reads each by the type of its field."""
    pairs = (_name_and_text(change, "name=value, for example align_corners=true") for change in changes)
    return {name: value_of(text) for name, text in pairs}


def _name_and_text(change: str, expected: str) -> tuple[str, str]:
    """What is before and behind the first "="."""
    name, separator, text = change.partition("=")
    if not separator:
        raise UserError(f"--set {change}: no '='; expected {expected}")
    return name, text


def _suggest_nested_field(config: Any, path: str, change: str) -> None:
    """``UserError`` with the paths of the fields called ``path`` inside ``config``, unless it has one itself."""
    own = [field.name for field in dataclasses.fields(config)]
    if "." in path or path in own:
        return
    name = SYNONYMS.get(path, path)
    nested = [name] if name in own else []
    nested += [
        f"{parent}.{name}"
        for parent, part in parts(config)
        if parent and any(field.name == name for field in dataclasses.fields(part))
    ]
    nested.sort(key=lambda field: not field.startswith(("training.", "optim.")))
    if nested:
        raise UserError(f"--set {change}: did you mean {' or '.join(nested[:3])}?")
    if path in REMEDIES and "training" in own:
        raise UserError(f"--set {change}: a recipe has no field {path!r}; {REMEDIES[path]}")


def _inside(owner: Any, name: str, change: str) -> Any:
    if isinstance(owner, tuple):  # terms.0.weight
        if not name.isdigit() or int(name) >= len(owner):
            raise UserError(
                f"--set {change}: {name!r} is not an index of {len(owner)} items; indices start at 0"
            )
        return owner[int(name)]
    require_field(type(owner), name, f"--set {change}")
    return getattr(owner, name)


_INDEPENDENT_OF_CLASS = (
    "weights", "output_stride",
    "head_lr_factor", "backbone_lr_factor", "bias_lr_factor", "layer_decay", "decay_norm_and_bias", "frozen",
    "freeze_norm_affine", "freeze_norm_statistics",
)  # fmt: skip


def _inherit(value: Any, earlier: Any) -> Any:
    """``value``, which replaces the object ``earlier``, with the fields that mean the same in both classes.

    A learning rate does not: AdamW needs another than SGD. An object of the same class is ``earlier`` itself.
    """
    if type(value) is type(earlier) and hasattr(value, "lr"):
        return earlier
    for name in _INDEPENDENT_OF_CLASS:
        if hasattr(value, name) and hasattr(earlier, name):
            setattr(value, name, getattr(earlier, name))
    return value
