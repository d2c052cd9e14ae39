"""A generator whose rows lack a field."""

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Generator, Sampler, Schema, Table, hookimpl


@dataclass(frozen=True)
class WrongSchema(Generator):
    """Forgets the last field."""

    name: ClassVar[str] = "wrong_schema"

    def fit(self, train, *, seed, context):
        """Learn nothing."""
        return Forgetful(train)


class Forgetful(Sampler):
    """Holds real train."""

    def __init__(self, train):
        self.train = train

    def sample(self, rows, *, seed):
        """The first rows, one field short."""
        schema = Schema(self.train.schema.fields[:-1], self.train.schema.label)
        return Table(self.train.rows[list(schema.names)].head(rows), schema, self.train.labels[:rows])


@hookimpl
def register_generators(register):
    """Register it."""
    register(WrongSchema)
