"""Reference of recipes: every field of every class that a recipe may hold, with type, default, range and meaning."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from docs.website import markup
from docs.website.api import homes, packages, public_names
from docs.website.signatures import annotation, field_default
from segwright.config import field_types
from segwright.config.named_objects import public_classes
from segwright.config.protocol_check import mismatch
from segwright.training.recipe import Recipe
from segwright.training.recipe_check import ANY, range_of

SECTIONS = {
    "recipe": ("Recipe and training", ("training.recipe", "contracts", "labels")),
    "datasets": ("Datasets", ("data.datasets", "data.formats")),
    "augmentation": ("Data augmentation", ("data.augmentation",)),
    "loading": ("Sampling and training targets", ("data.loading",)),
    "models": ("Models", ("models",)),
    "backbones": ("Backbones", ("models.backbones",)),
    "layers": ("Layers", ("models.layers",)),
    "losses": ("Losses", ("losses",)),
    "decoders": ("Decoders", ("decode",)),
    "optimizers": ("Optimizers and learning rate schedules", ("training",)),
    "metrics": ("Metrics", ("metrics",)),
    "other": ("Layouts and bugs of other projects", ("importers", "recipes")),
}
"""The pages: name, title, and the packages whose classes each one holds. The longest name of a package decides."""

INTRODUCTION = """\
A recipe is a tree of objects, each with fields. ``segwright recipe show NAME`` prints all fields of a recipe. The
option ``--set`` changes a field by its path (``optim.lr=3e-4``), or puts another object into one (``loss=ohem``). In a
recipe file, the name of the class stands before the fields of an object: ``!OHEM``. ``segwright train`` refuses values
outside their range before anything is opened.
"""


@cache
def recipe_classes() -> tuple[type, ...]:
    """The public dataclasses that a recipe may hold, directly or inside other objects, ``Recipe`` first."""
    known = [kind for kind in public_classes().values() if _may_be_held(kind)]
    reached: list[type] = []
    waiting: list[type] = [Recipe]
    while waiting:
        kind = waiting.pop(0)
        if kind in reached:
            continue
        reached.append(kind)
        for hint in _hints(kind).values():
            for wanted in _classes_in(hint):
                waiting += [k for k in known if k is wanted or _fits(k, wanted)]
    return tuple(reached)


def meaning(kind: type, field: str) -> str:
    """What the docstring of a class, of its base classes, or of its file says about a field.

    Where they say nothing, it is what the docstring of the class of its value says. Empty if there is neither.
    """
    for owner in (*kind.__mro__, inspect.getmodule(kind)):
        if vars(owner).get("__doc__") and (text := _mentions(markup.docstring(owner), field)):
            return text
    classes = [c for c in _classes_in(_hints(kind).get(field)) if c.__module__.startswith("segwright")]
    texts = [f"``{c.__name__}``: {_sentences(markup.summary(c))[0].rstrip('.;')}." for c in classes[:1]]
    return texts[0] if texts else ""


def write_fields(folder: Path) -> None:
    """Write the pages of all fields, and the page that lists them."""
    target = folder / "reference" / "fields"
    target.mkdir(parents=True)
    home = {
        id(thing): homes()[p][n]
        for p, module in packages().items()
        for n, thing in public_names(module).items()
    }
    rows = []
    classes = recipe_classes()
    for section in SECTIONS:
        kinds = [kind for kind in classes if section_of(kind) == section]
        if section != "recipe":
            kinds.sort(key=lambda kind: kind.__name__)
        (target / f"{section}.rst").write_text(_page(section, kinds, home), encoding="utf-8")
        names = ", ".join(f":ref:`{kind.__name__} <fields-{kind.__name__}>`" for kind in kinds)
        rows.append([f":doc:`{SECTIONS[section][0]} <fields/{section}>`", names])
    text = "\n".join(
        [
            markup.title("Fields of recipes"),
            INTRODUCTION,
            markup.list_table(["page", "classes"], rows, "25 75"),
            markup.toctree([f"fields/{section}" for section in SECTIONS], "hidden"),
        ]
    )
    (folder / "reference" / "fields.rst").write_text(text, encoding="utf-8")


def section_of(kind: type) -> str | None:
    """The page of a class; None if no page takes its package."""
    module = f"{kind.__module__.removeprefix('segwright.')}."
    fits = {
        section: max((len(place) for place in places if module.startswith(f"{place}.")), default=0)
        for section, (_, places) in SECTIONS.items()
    }
    best = max(fits, key=lambda section: fits[section])
    return best if fits[best] else None


def _page(section: str, kinds: list[type], home: dict[int, str]) -> str:
    lines = [markup.title(SECTIONS[section][0])]
    for kind in kinds:
        module = home.get(id(kind), kind.__module__)
        name = kind.__name__
        link = f":py:class:`{name} <{module}.{name}>`" if id(kind) in home else f"``{name}``"
        lines += [f".. _fields-{name}:", "", markup.title(name, "-"), markup.summary(kind), ""]
        lines += [f"Python: {link}.", "", f".. py:currentmodule:: {module}", ""]
        fields = [field for field in dataclasses.fields(kind) if field.init]
        lines += [_field(kind, field) for field in fields] or ["It has no fields.", ""]
    return "\n".join(lines)


def _field(kind: type, field: dataclasses.Field[Any]) -> str:
    lines = [f".. py:attribute:: {kind.__name__}.{field.name}", f"   :type: {annotation(field.type)}"]
    default = field_default(field)
    if default is not None:
        lines += [f"   :value: {default}"]
    text = meaning(kind, field.name)
    allowed = numbers(kind, field.name)
    return "\n".join([*lines, "", markup.indent(f"{text} {allowed}".strip()), ""])


def numbers(kind: type, field: str) -> str:
    """The range of a numeric field as a sentence; empty for fields that hold no numbers."""
    if not {int, float} & {*_classes_in(_hints(kind).get(field))}:
        return ""
    allowed = range_of(object.__new__(kind), field)
    if allowed == ANY:
        return ""
    meaning = allowed.meaning[0].upper() + allowed.meaning[1:]
    return f"*{meaning}.*" if "," in allowed.meaning else f"*{meaning}: {allowed.interval}.*"


def _hints(kind: type) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(kind) if field.init}
    return {name: hint for name, hint in field_types(kind).items() if name in fields}


def _classes_in(hint: Any) -> Iterator[type]:
    """All classes in an annotation: those of unions and of tuples, too."""
    if typing.get_args(hint):
        for part in typing.get_args(hint):
            yield from _classes_in(part)
    elif isinstance(hint, type):
        yield hint


def _may_be_held(kind: type) -> bool:
    """Whether a page takes the class: it is a public name of its package, or an extra of a recipe or an importer."""
    section = section_of(kind)
    return section == "other" or (section is not None and id(kind) in _public_ids())


@cache
def _public_ids() -> frozenset[int]:
    return frozenset(id(thing) for module in packages().values() for thing in public_names(module).values())


def _fits(kind: type, wanted: type) -> bool:
    """Whether objects of the class may stand where the protocol or class ``wanted`` is asked for."""
    if not wanted.__module__.startswith("segwright"):
        return False
    needed = [
        f
        for f in dataclasses.fields(kind)
        if f.init and f.default is f.default_factory is dataclasses.MISSING
    ]
    return mismatch(object.__new__(kind) if needed else kind(), wanted) is None


def _mentions(docstring: str, field: str) -> str:
    """The sentences of a docstring about a field: those that begin with its name, or else those that contain it."""
    sentences = [list(_sentences(p)) for p in re.split(r"\n\s*\n", docstring)]
    beginning = rf"``{field}``|(``\w+``,? (and )?)+``{field}``"
    for paragraph in sentences:
        for index, sentence in enumerate(paragraph):
            if re.match(beginning, sentence):
                following = paragraph[index + 1 :]
                end = next((i for i, s in enumerate(following) if "``" in s), len(following))
                return re.sub(";$", ".", " ".join([_capital(sentence, field), *following[:end]]))
    mentions = [
        s for paragraph in sentences for s in paragraph if re.search(rf"``[^`]*\b{field}\b[^`]*``", s)
    ]
    return re.sub(";$", ".", " ".join(mentions))


def _sentences(paragraph: str) -> list[str]:
    return re.split(r"(?<=[.;!?]) +(?=[A-Z`])", " ".join(paragraph.split()))


def _capital(sentence: str, field: str) -> str:
    """The sentence without the name of the field and the colon that begin it."""
    text = re.sub(rf"^``{field}``:\s*", "", sentence)
    return text[:1].upper() + text[1:]


def undocumented() -> list[str]:
    """The fields without a meaning, as "Class.field"."""
    return [
        f"{kind.__name__}.{field.name}"
        for kind in recipe_classes()
        for field in dataclasses.fields(kind)
        if field.init and not meaning(kind, field.name)
    ]
