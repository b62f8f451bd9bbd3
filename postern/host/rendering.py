"""Renders the configuration templates that the package carries."""

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

_ENVIRONMENT = Environment(
    loader=PackageLoader("postern.host"),
    undefined=StrictUndefined,  # a forgotten value is an error, never an empty setting
    autoescape=select_autoescape(),
    keep_trailing_newline=True,
    trim_blocks=True,
)


def posix_regexp(text: str) -> str:
    """A pattern of regexp_table(5) that matches a domain or address literal to the letter."""
    return re.sub(r"[.\[\]]", r"\\\g<0>", text)


_ENVIRONMENT.filters["posix_regexp"] = posix_regexp


def render(name: str, values: Mapping[str, Any]) -> str:
    """The text of template `name` with `values`; raises jinja2.UndefinedError for a missing one."""
    return _ENVIRONMENT.get_template(name).render(values)
