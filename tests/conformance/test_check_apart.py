"""Conformance checks in a process of their own: what hangs or dies there is a broken check, not a dead command."""

from __future__ import annotations

import psutil
import pytest
import toys
from ctrbench.conformance.apart import Checker
from ctrbench.registry import Registered


def checked(checker: Checker, plugin: type) -> list[tuple[str, str, str]]:
    found = checker.check(Registered("generator", plugin.name, plugin, "toys", "1.0"))
    return [(result.name, result.status, result.message) for result in found]


def test_a_plug_in_that_hangs_or_dies_fails_the_check_that_it_was_in_and_the_next_one_is_checked() -> None:
    with Checker(10) as checker:
        *sound, last = checked(checker, toys.Stuck)
        assert last == ("fits", "failed", "took longer than 10 s and was stopped; the checks after it were not done")
        assert len(sound) >= 5
        name, status, message = checked(checker, toys.Dead)[-1]
        assert (name, status) == ("fits", "failed")
        assert message.startswith("the process died (exit status 7)")
    with Checker(300) as checker:
        assert ("the same under a seed", "passed", "") in checked(checker, toys.Bootstrap)
        assert ("the same under a seed", "passed", "") in checked(checker, toys.Bootstrap)
    assert not [
        child for child in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(child.cmdline())
    ]


def test_what_a_plug_in_leaves_behind_is_its_own_failure_and_not_the_next_ones() -> None:
    with Checker(300) as checker:
        for plugin, status in ((toys.Careless, "failed"), (toys.Bootstrap, "passed")):
            found = {name: ended for name, ended, _ in checked(checker, plugin)}
            assert (found["fits"], found.get("process left as it was", "passed")) == ("passed", status)
        names = [name for name, *_ in checked(checker, toys.Forking)]
        assert len(names) == len(set(names)), "a copy says nothing"
        interrupted = [ended for name, ended, _ in checked(checker, toys.Interrupting) if name.startswith("fits")]
        assert interrupted == ["failed"] * 2
        assert checked(checker, toys.FiveSteps) == checked(checker, toys.Bootstrap), "five steps are its fewest"


def test_a_plug_in_that_no_other_process_can_find_fails_at_that() -> None:
    class Local(toys.Bootstrap):
        """Real rows again."""

    with Checker(60) as checker:
        [(name, status, message)] = checked(checker, Local)
    assert (name, status) == ("another process can make it", "failed")
    assert "Local" in message


@pytest.mark.parametrize("plugin", [toys.Bootstrap, toys.Twin])
def test_the_results_are_those_of_the_checks_in_this_process(plugin: type) -> None:
    from ctrbench.conformance import check_plugin

    registered = Registered("generator", plugin.name, plugin, "toys", "1.0")
    with Checker(300) as checker:
        apart = {(result.name, result.status) for result in checker.check(registered)}
    here = {(result.name, result.status) for result in check_plugin(registered)}
    assert apart == here
