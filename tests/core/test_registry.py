import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from ctrbench import UserError, hookspecs
from ctrbench.registry import Registry, load_registry

GOOD = """
    from dataclasses import dataclass
    from typing import Annotated, ClassVar
    from ctrbench import Generator, Location, Scenario, ClassShares, hookimpl

    class Meta(type(Generator)): pass
    class Number(float): pass
    class Word(str):
        def __hash__(self): raise ValueError("no hash")
    class Equal:
        def __eq__(self, other): return True

    @dataclass(frozen=True)
    class Mine(Generator):
        '''Mine.'''
        name: ClassVar[str] = "mine"
        def fit(self, train, *, seed, context): ...

    @hookimpl
    def register_generators(register): register(Mine)
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a module of a plug-in's source and returns its entry point."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(source: str, name: str = "plug") -> EntryPoint:
        module = f"{name}_{len(list(tmp_path.glob('*.py')))}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        sys.modules.pop(module, None)
        return EntryPoint(name, module, "ctrbench")

    return make


def names(registry: Registry, kind="generator") -> list[str]:
    return [plugin.name for plugin in registry.of_kind(kind)]


def test_the_built_in_scenarios_are_always_there() -> None:
    paper, controls = ["original", "S1", "S2", "S3", "S4", "S5"], ["original_again", "undersample", "class_weight"]
    assert names(load_registry([]), "scenario") == [*paper, *controls]


def test_every_built_in_is_found_and_none_is_broken() -> None:
    registry = load_registry()
    assert not [broken for broken in registry.broken if broken.distribution == "ctrbench"]
    assert {"random_oversampling", "smoten", "gaussian_copula", "ctgan", "copulagan", "tvae", "argn"} <= set(
        names(registry)
    )
    assert {"dnn", "deepfm", "masknet", "logistic", "item_rate", "pair_memory", "lightgbm", "fuxictr"} <= set(
        names(registry, "model")
    )
    assert {"auc", "logloss", "identical"} <= set(names(registry, "metric"))
    assert {"simulated", "frappe", "csv_log"} <= set(names(registry, "dataset"))


def test_a_third_party_is_registered_beside_them(plug_in) -> None:
    registry = load_registry([plug_in(GOOD)])
    assert names(registry) == ["mine"]
    assert not registry.broken
    assert registry.get("generator", "mine").help == "Mine."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("from dataclasses", "import not_there\n    from dataclasses"),
            "ModuleNotFoundError: No module named 'not_there'",
        ),
        (("register_generators(register)", "register_generatorz(register)"), "register_generatorz"),
        (("register_generators(register)", "register_generators(regster)"), "regster"),
        (("register(Mine)", "register(Mine())"), "takes a subclass of Generator"),
        (("register(Mine)", "register(3 / 0)"), "ZeroDivisionError"),
        (("@hookimpl", "#"), "registers nothing"),
        (("@dataclass(frozen=True)", ""), "needs its own @dataclass(frozen=True)"),
        (("@dataclass(frozen=True)", "@dataclass(frozen=False)"), "cannot inherit non-frozen"),
        (('= "mine"', '= "two words"'), "it needs a name"),
        (('= "mine"', '= "None"'), "'None', which the command line takes for something else"),
        (('= "mine"', '= "sm\u043eten"'), "it needs a name"),
        (
            ("name: ClassVar", "at: Annotated[str, 'a file', Location()] = ''\n        name: ClassVar"),
            "Mine.at only says where something lies, so Mine needs a version()",
        ),
        (("'''Mine.'''", ""), "needs a docstring"),
        (("def fit", "def fitt"), "lacks fit"),
        (("name: ClassVar", "size: int\n        name: ClassVar"), "size needs a default"),
        (("name: ClassVar", "size: 'Lost' = 1\n        name: ClassVar"), "parameters cannot be used: NameError"),
        (("name: ClassVar", "size: object = print\n        name: ClassVar"), "parameters cannot be used: TypeError"),
        (
            ("def fit", "def __post_init__(self): raise ValueError('no')\n        def fit"),
            "cannot be used: ValueError: no",
        ),
        (("name: ClassVar", "gpus: ClassVar[float] = 1.5\n        name: ClassVar"), "a share of a GPU, from 0 to 1"),
        (("name: ClassVar", "cpus: ClassVar[str] = 'all'\n        name: ClassVar"), "cpus is 'all': it must be"),
        (("from dataclasses", "raise SystemExit(4)\n    from dataclasses"), "SystemExit: 4"),
        (
            ("name: ClassVar", "imports: ClassVar[None] = None\n        name: ClassVar"),
            "Mine.imports is None: it must be",
        ),
        (
            ("name: ClassVar", "imports: ClassVar[str] = 'numpy'\n        name: ClassVar"),
            "imports is 'numpy': it must be",
        ),
        (("'''Mine.'''", "__doc__ = 5"), "Mine.__doc__ is a int: it must be a text"),
        (
            ("name: ClassVar", "__module__ = None\n        name: ClassVar"),
            "__module__ is None, which is not",
        ),
        (("name: ClassVar", "__module__ = 'os.no'\n        name: ClassVar"), "__module__ is 'os.no', which is not"),
        (("name: ClassVar", "role: ClassVar = Equal()\n        name: ClassVar"), "Mine.role must be MethodRole.CAND"),
        (("name: ClassVar", "cpus: ClassVar = Number(1)\n        name: ClassVar"), "Mine.cpus is 1.0: it must be"),
        (("name: ClassVar", "imports: ClassVar = [Word('os')]\n        name: ClassVar"), "Mine.imports is ['os']: it"),
        (('= "other"', '= Word("other")'), "Mine.name is 'other': it needs a name"),
        (("class Mine(Generator)", "class Mine(Generator, metaclass=Meta)"), "Mine has a metaclass of its own, Meta"),
        (("register(Mine)", "[register(number) for number in range(10_000)]"), "takes a subclass of Generator"),
        (('= "other"', "= 'm' * 10_000_000"), "it needs a name"),
    ],
)
def test_a_broken_plug_in_is_listed_and_the_rest_works(plug_in, change: tuple[str, str], said: str) -> None:
    good, bad = plug_in(GOOD, "good"), plug_in(GOOD.replace('"mine"', '"other"').replace(*change), "bad")
    if change[0] == '= "mine"':
        bad = plug_in(GOOD.replace(*change), "bad")
    registry = load_registry([bad, good])
    assert names(registry) == ["mine"]
    [broken, *more] = registry.broken
    assert len(more) < 20
    assert not more or "range" in change[1]
    assert said in broken.error
    assert broken.source.endswith(":bad")
    assert "\n" not in broken.error
    assert len(broken.error) <= 2_000


def test_an_entry_point_that_names_the_class_is_told_to_name_the_module(plug_in) -> None:
    module = plug_in(GOOD.replace("register_generators", "unmarked").replace("@hookimpl", "")).value
    [broken] = load_registry([EntryPoint("plug", f"{module}:Mine", "ctrbench")]).broken
    assert broken.error == f"its entry point names 'Mine' in {module}: name the module, {module!r}"


def test_a_distribution_whose_entry_points_are_in_a_group_of_no_meaning_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "elsewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ctrbench.generators]\nmine = absent\n")
    monkeypatch.syspath_prepend(tmp_path)
    [broken] = [each for each in load_registry().broken if each.distribution == "elsewhere"]
    assert broken.error == (
        "its entry points are in the group 'ctrbench.generators', which nothing reads: plug-ins belong in 'ctrbench'"
    )


def test_between_third_parties_neither_gets_a_name_and_both_name_the_other(plug_in) -> None:
    registry = load_registry([plug_in(GOOD, "one"), plug_in(GOOD, "two")])
    assert names(registry) == []
    first, second = registry.broken
    assert second.distribution in first.error
    assert first.distribution in second.error


def test_a_built_in_keeps_its_name(plug_in) -> None:
    thief = GOOD.replace(
        "register_generators(register): register(Mine)", "register_scenarios(register): register(Scenario('S3'))"
    )
    registry = load_registry([plug_in(thief)])
    assert registry.get("scenario", "S3").distribution == "ctrbench"
    assert "'S3' is taken by S3 (ctrbench" in registry.broken[0].error


def test_a_name_in_other_letters_is_the_same_name(plug_in) -> None:
    registry = load_registry([plug_in(GOOD, "one"), plug_in(GOOD.replace('"mine"', '"MINE"'), "two")])
    assert names(registry) == []
    assert "the generator name 'MINE' is taken by mine" in registry.broken[1].error


def test_one_bad_class_does_not_cost_its_module_the_others(plug_in) -> None:
    source = GOOD.replace("register(Mine)", "(register(int), register(Mine))")
    registry = load_registry([plug_in(source)])
    assert names(registry) == ["mine"]
    assert len(registry.broken) == 1


def test_an_entry_point_found_twice_counts_once(plug_in) -> None:
    entry = plug_in(GOOD)
    assert names(load_registry([entry, entry])) == ["mine"]


def test_an_unknown_name_comes_with_a_suggestion() -> None:
    with pytest.raises(UserError, match="scenarios: no scenario 'S33'; did you mean 'S3'"):
        load_registry([]).get("scenario", "S33", "scenarios")


def test_asking_for_a_broken_plug_in_says_that_it_is_broken(plug_in) -> None:
    registry = load_registry([plug_in("import not_there", "lost")])
    with pytest.raises(UserError, match=r"'lost' is broken .*: ModuleNotFoundError"):
        registry.get("generator", "lost")


def test_a_listener_that_raises_is_listed_and_not_called_again(plug_in) -> None:
    source = "from ctrbench import hookimpl\n@hookimpl\ndef cell_finished(result): raise ValueError('deaf')"
    registry = load_registry([plug_in(source)])
    registry.announce("a cell")
    registry.announce("a cell")
    assert [broken.error for broken in registry.broken] == ["ValueError: deaf"]


def test_every_hook_has_a_signature_and_a_docstring() -> None:
    hooks = [
        getattr(hookspecs, name) for name in dir(hookspecs) if name.startswith("register_") or name == "cell_finished"
    ]
    assert len(hooks) == 6
    assert all(hook.__doc__ and hook.__annotations__ for hook in hooks)


def test_a_plug_in_may_be_registered_again_and_not_without_end(plug_in) -> None:
    again = GOOD.replace("register(Mine)", "[register(Mine) for _ in range(100_000)]")
    assert names(load_registry([plug_in(again)])) == ["mine"]
    more = GOOD.replace("register(Mine)", "[register(type('Mine', (Mine,), {})) for _ in range(100_000)]")
    assert len(load_registry([plug_in(more)]).broken) <= 20
