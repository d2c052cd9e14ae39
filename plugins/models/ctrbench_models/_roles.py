"""Which field names the user or the item of a row.

In: a schema. Out: a field, or the reason why a baseline does not apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrbench import Skip

if TYPE_CHECKING:
    from ctrbench import Field, Schema
    from ctrbench.table import Role


def identifier(schema: Schema, role: Role) -> Field:
    """The first categorical field of a role, which is its id; Skip where there is none."""
    for field in schema.with_role(role):
        if field.kind == "categorical":
            return field
    raise Skip(f"no categorical field has the role {role}")
