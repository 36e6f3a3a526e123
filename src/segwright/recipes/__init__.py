"""Complete runs. A recipe is a function without required arguments that returns a ``Recipe``: its name is
``module.function``. This package is the only place where anything is discovered."""
