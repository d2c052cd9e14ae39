"""Any model written for FuxiCTR: a class of its model zoo, or of the user's own file, with its own YAML.

In: a folder with the class, and perhaps a configuration in FuxiCTR's and BARS's format. Out: click probabilities of the
unchanged class, trained by the loop of the built-in models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from ctrbench import Budgeted, Context, Location, Model, Predictor, Register, Skip, Table, UserError, hookimpl

from ctrbench_models._zoo import Experiment, Zoo

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel


@dataclass(frozen=True)
class FuxiCTR(Model):
    """Any class of FuxiCTR's model zoo, or your own in the same form: fuxictr[path=FOLDER, model=DCNv2].

    `config=FOLDER, expid=DCNv2_default` gives it the parameters that FuxiCTR's or BARS's YAML has for it. Early
    stopping is by valid's AUC after each epoch, whatever the configuration monitors and how often; its seed and its
    data set are ignored. A class with a training loop of its own is skipped. Naming a folder runs the code in it.
    """

    name: ClassVar[str] = "fuxictr"
    supports_weights: ClassVar[bool] = True
    imports: ClassVar[tuple[str, ...]] = ("torch._dynamo", "fuxictr.pytorch.models", "sklearn.metrics")

    path: Annotated[str, "the model's file or folder, or all of model_zoo", Location()] = ""
    model: Annotated[str, "the class"] = ""
    config: Annotated[
        str, "a YAML file, or a folder with model_config.yaml; none: the class's defaults", Location()
    ] = ""
    expid: Annotated[str, "the experiment in it; none: the only one of this class"] = ""
    settings: Annotated[str, 'changes to it, as YAML: "net_dropout: 0.1, num_heads: 2"'] = ""
    epochs: Annotated[
        int, "passes over the training table, at most; the experiment may say fewer", Ge(1), Budgeted()
    ] = 100

    def __post_init__(self) -> None:
        if self.path and not self.model:
            raise UserError(f"{self.name}: path={self.path} needs the class too; add model=DCNv2, say")
        if self.expid and not self.config:
            raise UserError(f"{self.name}: expid={self.expid} needs the file it stands in; add config=FOLDER")
        Experiment.differences(self.settings)

    def version(self) -> str:
        """The contents of the class's source files and of its experiment, wherever they lie."""
        if not self.path:
            return ""
        return f"{Zoo.find(self.path, self.model).digest} {self._experiment().digest}"

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Train it; Skip where no folder is named, the log lacks a role or a field, or the class has its own loop."""
        if not self.path:
            raise Skip("it needs a folder: fuxictr[path=model_zoo, model=DCNv2]")
        from ctrbench_models.training import Training, columns, fit_network

        zoo, experiment = Zoo.find(self.path, self.model), self._experiment()
        if own := zoo.own_loop:
            raise Skip(f"{self.model} trains by its own {' and '.join(own)}, which ctrbench's loop would not call")
        fields = columns(train.schema, as_named=True)
        for role in sorted(zoo.roles - {field.role for field in train.schema.fields}):
            raise Skip(f"{self.model} asks for fields of the role {role}, and this log has none")
        for setting, field in experiment.fields_named:
            if field not in fields:
                raise Skip(f"{self.model} asks for the field {field!r} ({setting}), and this log has none of that name")

        def build(features: FeatureMap) -> BaseModel:
            return zoo.build(features, experiment, context.device)

        training = Training(
            experiment.number("batch_size", 4096),
            min(self.epochs, experiment.number("epochs", self.epochs)),
            experiment.number("early_stop_patience", experiment.number("patience", 2)),
        )
        return fit_network(
            build,
            train,
            valid,
            training,
            seed=seed,
            context=context,
            embedding_dim=zoo.embedding_dim(experiment),
            as_named=True,
        )

    def _experiment(self) -> Experiment:
        return Experiment.read(self.config, self.expid, self.model, self.settings)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `fuxictr`."""
    register(FuxiCTR)
