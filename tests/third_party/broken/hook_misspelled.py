"""A plug-in whose hook has a typing error."""

from ctrbench import hookimpl


@hookimpl
def register_generatorz(register):
    """No such hook."""
