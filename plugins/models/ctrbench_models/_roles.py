"""Which field identifies the user or the item of a row.

In: a schema. Out: a field, or the reason why a baseline does not apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrbench import Skip

if TYPE_CHECKING:
    from ctrbench import Field, Role, Schema


def identifier(schema: Schema, role: Role) -> Field:
    """The first categorical field of a role, which is its id; Skip where there is none."""
    field = schema.identifier(role)
    if field is None:
        raise Skip(f"no categorical field has the role {role}")
    return field
