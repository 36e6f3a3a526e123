"""Recipes as text: YAML whose tags are class names, and ``--set a.b=c``. Both are checked against the fields' types.

recipe_yaml.py      ``to_yaml`` and ``from_yaml``, an object as YAML and back
overrides.py        ``override``, which changes fields: ``--set optim.lr=3e-4``
field_values.py     ``coerce``: the type of a field decides how its text is read
fields.py           the fields of a dataclass and their types; ``parts``, the dataclasses inside another
named_objects.py    the public classes by name, as in ``--set model=unet``
protocol_check.py   whether an object (a loss, a model, ...) fits the field of a recipe
foreign_names.py    names of settings in other projects: the field that they mean
user_code.py        ``load_code``, the Python file of a user's own classes (``--code``)
untrusted_yaml.py   reads untrusted YAML, with limits of size and depth
"""

from segwright.config.field_values import coerce
from segwright.config.fields import field_types, parts, require_field, walk
from segwright.config.overrides import override, settings
from segwright.config.recipe_yaml import find_class, find_function, from_yaml, tag_of, to_yaml
from segwright.config.user_code import errors_of_code, load_code

__all__ = [
    "coerce",
    "errors_of_code",
    "field_types",
    "find_class",
    "find_function",
    "from_yaml",
    "load_code",
    "override",
    "parts",
    "require_field",
    "settings",
    "tag_of",
    "to_yaml",
    "walk",
]
