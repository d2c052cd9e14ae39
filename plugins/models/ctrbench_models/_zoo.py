"""Classes and configurations read from files in the layout of FuxiCTR's model zoo and BARS.

In: paths. Out: a class that can be built, an experiment's parameters, and a digest of what either was read from.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctrbench import UserError, did_you_mean, file_digest

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel

_CLASS = re.compile(r"^class\s+(\w+)\s*\(", re.MULTILINE)
_ROLE = re.compile(r"""source["'\]\s]*={1,2}\s*\[?["'](user|item|context)["']""")
_FIELD_SETTING = re.compile(r"_(field|fields|context)$")
OURS = {
    "optimizer": "adam",
    "loss": "binary_crossentropy",
    "task": "binary_classification",
    "metrics": ["AUC"],
    "monitor": "AUC",
    "verbose": 0,
    "model_root": "",
}
"""Arguments of every class; the first three only where an experiment has no other."""
GIVEN = {"self", "args", "kwargs", "feature_map"}
"""What no experiment gives to a class."""
LOOP = {"batch_size", "epochs", "early_stop_patience", "patience"}
"""What an experiment tells the training loop."""
IGNORED = {
    "monitor", "monitor_mode", "metrics", "eval_steps", "save_best_only", "max_gradient_norm", "shuffle", "seed", "gpu",
    "verbose",
}  # fmt: skip
"""What it tells FuxiCTR's loop alone: ours evaluates AUC once an epoch; seed and device are the run's."""
REPLACED = [
    "fit",
    "train_epoch",
    "train_step",
    "eval_step",
    "checkpoint_and_earlystop",
    "evaluate",
    "predict",
    "get_labels",
]
"""Methods of FuxiCTR's loop, which ours does not call."""


@dataclass(frozen=True)
class Zoo:
    """A class in a folder: its file, and all source files of its folder, which it may import."""

    name: str
    file: Path

    @classmethod
    def find(cls, path: str, name: str) -> Zoo:
        """The one file below the path that defines the class; UserError, naming similar classes, where none does."""
        place = Path(path).expanduser()
        if not place.exists():
            raise UserError(f"fuxictr: path={path}: there is no such file or folder")
        files = [place] if place.is_file() else sorted(place.rglob("*.py"))
        # the zoo's TensorFlow classes have the same names
        defined = {file: _CLASS.findall(_text(file)) for file in files if not _is_tensorflow(file.relative_to(place))}
        found = [file for file, classes in defined.items() if name in classes]
        if not found:
            known = sorted({each for classes in defined.values() for each in classes})
            raise UserError(f"fuxictr: path={path} has no class {name!r}; {did_you_mean(name, known, 'there are')}")
        if len(found) > 1:  # the zoo has a folder for each class, with copies of some in other folders
            found = [file for file in found if file.is_relative_to(place / name)] or found
        if len(found) > 1:
            both = " and ".join(str(file) for file in found[:2])
            raise UserError(f"fuxictr: path={path} has the class {name} in {both}; name one of these files")
        return cls(name, found[0])

    @property
    def sources(self) -> list[Path]:
        """The file, and where it is part of a package the files next to and below it."""
        folder = self.file.parent
        return sorted(folder.rglob("*.py")) if (folder / "__init__.py").exists() else [self.file]

    @property
    def digest(self) -> str:
        """SHA-256 over the names and contents of the sources."""
        told = [f"{file.relative_to(self.file.parent)} {file_digest(file)}" for file in self.sources]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    @property
    def roles(self) -> set[str]:
        """The roles by which the class picks fields."""
        return set(_ROLE.findall(_text(self.file)))

    @property
    def own_loop(self) -> list[str]:
        """The methods of FuxiCTR's loop that the class has of its own."""
        from fuxictr.pytorch.models import BaseModel

        kind = self.load()
        return [name for name in REPLACED if getattr(kind, name) is not getattr(BaseModel, name)]

    def embedding_dim(self, experiment: Experiment) -> int:
        """The experiment's, otherwise the class's default."""
        told = inspect.signature(self.load()).parameters.get("embedding_dim")
        return experiment.number("embedding_dim", told.default if told and isinstance(told.default, int) else 10)

    def build(self, features: FeatureMap, experiment: Experiment, device: str) -> BaseModel:
        """A new network; UserError for a setting that the class does not know."""
        kind = self.load()
        known = {
            name for each in kind.__mro__ for name in inspect.signature(vars(each).get("__init__", object)).parameters
        }
        for name in experiment.changed:
            if name not in (known - GIVEN) | LOOP | OURS.keys():
                raise UserError(
                    f"fuxictr: settings: {self.name} has no parameter {name!r}; "
                    f"{did_you_mean(name, sorted(known - GIVEN), 'there are')}"
                )
        gpu = int(device.partition(":")[2] or 0) if device.startswith("cuda") else -1
        fixed = {name: value for name, value in OURS.items() if name not in ("optimizer", "loss", "task")}
        network: BaseModel = kind(features, **{**OURS, **experiment.parameters, **fixed, "gpu": gpu})
        return network

    def load(self) -> type[BaseModel]:
        """The class, imported under a name derived from its contents, so that no two folders' classes are confused."""
        folder = self.file.parent
        package = f"_ctrbench_zoo_{self.digest[:16]}"
        part_of_package = (folder / "__init__.py").exists()
        entry = folder / "__init__.py" if part_of_package else self.file
        if package not in sys.modules:
            places = [str(folder)] if part_of_package else None
            spec = importlib.util.spec_from_file_location(package, entry, submodule_search_locations=places)
            assert spec is not None
            assert spec.loader is not None
            module = sys.modules[package] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[package]
                raise
        inside = self.file.stem
        home = importlib.import_module(f"{package}.{inside}") if part_of_package and inside != "__init__" else None
        kind: type[BaseModel] = getattr(home or sys.modules[package], self.name)
        return kind


@dataclass(frozen=True)
class Experiment:
    """The parameters of a class and of its training, and which of them the user changed."""

    parameters: Mapping[str, Any]
    changed: tuple[str, ...]

    @classmethod
    def read(cls, config: str, expid: str, model: str, settings: str) -> Experiment:
        """`Base` and the experiment of the configuration, then the settings; UserError where they cannot be read."""
        changes = cls.differences(settings)
        told: dict[str, Any] = {}
        if config:
            experiments = _experiments(config)
            base = experiments.pop("Base", {})
            if not expid:
                of_class = [name for name, each in experiments.items() if each.get("model", model) == model]
                if len(of_class) != 1:
                    raise UserError(
                        f"fuxictr: config={config} has {len(of_class)} experiments of {model}; "
                        f"say which by expid=: {', '.join(of_class or experiments) or 'there are none'}"
                    )
                expid = of_class[0]
            if expid not in experiments:
                raise UserError(
                    f"fuxictr: config={config} has no experiment {expid!r}; "
                    f"{did_you_mean(expid, experiments, 'there are')}"
                )
            told = {**base, **experiments[expid]}
        for name in told:
            if not isinstance(name, str) or name in GIVEN:
                raise UserError(f"fuxictr: config={config}: {expid} has a parameter {name!r}, which no class takes")
        return cls({**told, **changes}, tuple(changes))

    @staticmethod
    def differences(settings: str) -> dict[str, Any]:
        """Settings as a user types them, "a: 1, b: [2, 3]"; UserError where they are not YAML."""
        if not settings.strip():
            return {}
        text = settings.strip()
        found = _yaml(text if text.startswith("{") else f"{{{text}}}", f"settings={settings!r}")
        if not isinstance(found, dict) or not all(
            isinstance(key, str) and (value is not None or re.search(rf"\b{re.escape(key)}\s*:", text))
            for key, value in found.items()
        ):
            raise UserError(f'fuxictr: settings={settings!r} should be names and values, as in "net_dropout: 0.1"')
        for name in found:
            if name in IGNORED:
                raise UserError(
                    f"fuxictr: settings: {name} is of FuxiCTR's training loop, and ctrbench's own stops by valid's AUC "
                    "after each epoch; leave it out"
                )
        return {key: _as_meant(key, value) for key, value in found.items()}

    @property
    def digest(self) -> str:
        """SHA-256 over the parameters that can change a result."""
        return hashlib.sha256(repr(sorted(self.parameters.items())).encode()).hexdigest()

    @property
    def fields_named(self) -> list[tuple[str, str]]:
        """The parameters that name fields of the log, each with a name."""
        return [
            (setting, field)
            for setting, value in self.parameters.items()
            if _FIELD_SETTING.search(setting)
            for field in _flat(value)
        ]

    def number(self, name: str, otherwise: int) -> int:
        """A whole number above 0; UserError for anything else."""
        value = self.parameters.get(name, otherwise)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"fuxictr: {name}={value!r} must be a whole number, at least 1")
        return value


def _as_meant(name: str, value: Any) -> Any:
    """A setting as its user meant it: FuxiCTR takes a λ that is a whole number for none."""
    if value == "None":
        return None
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and name.endswith("regularizer") else value


def _experiments(config: str) -> dict[str, dict[str, Any]]:
    """All experiments of a YAML file, or of a folder's model_config.yaml or model_config/*.yaml."""
    place = Path(config).expanduser()
    files = (
        [place] if place.is_file() else sorted([*place.glob("model_config.yaml"), *place.glob("model_config/*.yaml")])
    )
    if not files:
        raise UserError(f"fuxictr: config={config} is no YAML file, and no folder with a model_config.yaml")
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        read = _yaml(_text(file), str(file))
        if not isinstance(read, dict):
            raise UserError(f"fuxictr: {file} should map experiments to their parameters")
        found |= {str(name): each for name, each in read.items() if isinstance(each, dict)}
    return found


def _yaml(text: str, where: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.1, for which 1e-3 would be a text, with the numbers of YAML 1.2."""

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )
    try:
        read = yaml.load(text, Loader)
        json.dumps(read, default=str, skipkeys=True)  # goes as deep as whatever reads it
    except yaml.YAMLError as error:
        raise UserError(f"fuxictr: {where} is no YAML: {' '.join(str(error).split())}") from None
    except (RecursionError, ValueError):
        raise UserError(f"fuxictr: {where}: lists too deep in each other, or one in itself; write them out") from None
    return read


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"fuxictr: {file} cannot be read ({error.strerror or error}); check the path") from None


def _is_tensorflow(inside: Path) -> bool:
    return any(part.endswith("_tf") for part in inside.parts)


def _flat(value: Any) -> list[str]:
    """The texts in a value, or in nested lists of them."""
    if isinstance(value, str):
        return [value]
    return [text for each in value for text in _flat(each)] if isinstance(value, list | tuple) else []
