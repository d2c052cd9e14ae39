"""Texts that try to be more than text, and a run in which everything is called so."""

from __future__ import annotations

import re

from ctrbench.interfaces import Score
from ctrbench.results import (
    CellResult,
    DatasetInfo,
    Environment,
    MetricInfo,
    PoolOutput,
    PoolResult,
    RunInfo,
    ScenarioInfo,
    Stage,
    Status,
    TaskResult,
)
from ctrbench.store.runs import RunResults

HOSTILE = {
    "ansi": "\x1b[2J\x1b[31mred",
    "c1": "\x9b2Jgone",
    "osc": "\x1b]0;title\x07",
    "newline": "a\nb\r\nc\x85d\u2028e",
    "right to left": "abc\u202etxt.exe\u2066",
    "pipe": "a|b|c",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "entity": "&lt;b&gt; &#60;",
    "link": "[click](javascript:alert(1)) ![x](http://x/y.png)",
    "emphasis": "**bold** _it_ `code` ~~gone~~ # head",
    "latex": "\\input{/etc/passwd} 50% $x$ a_b {c} ~ ^ & #",
    "formula": '=HYPERLINK("http://x","y")',
    "formula behind a space": "\t =1+1",
    "at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "minus": "-2+3",
    "quotes": "\"a','b\"; drop table tasks; --",
    "rich": "[bold red]x[/] [link=http://x]y[/link]",
    "surrogate": "a file called \udc80",
    "nul": "a\x00b",
    "no letter": "a\uffffb\ufffec\ufdd0d\U0001ffff",
}
UNSAFE = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def hostile_run(text: str) -> RunResults:
    """A run in which everything that anybody but the harness may name is called `text`."""
    bad = TaskResult(Status.FAILED, text, Stage.FIT, text, text)
    made = PoolOutput(text, 1000, 0, 0.5, {text: text})
    done = TaskResult(Status.OK, text, output=made, seconds={"fit": 1.0}, curves={text: [(1, 0.5), (2, 0.4)]})
    cells = [
        CellResult(text, "", "original", text, 0, done, {text: Score(0.5)}),
        CellResult(text, "", "original", "other", 0, bad),
        CellResult(text, text, text, text, 0, done, {text: Score(0.6)}),
        CellResult(text, text, text, "other", 0, bad),
    ]
    pools = [PoolResult(text, text, 0, done, text, {text: Score(1.0, None, {text: 2.0, "value": 3.0})})]
    scenario = ScenarioInfo(text, True)
    info = RunInfo(
        text, 1, 1.0, 1, 1,
        datasets={text: DatasetInfo(text, {text: text}, "f" * 64, {text: 1000}, {text: 0.5}, [text])},
        scenarios={"original": scenario, text: scenario},
        prediction_metrics={text: MetricInfo("higher", text)},
        synthetic_metrics={text: MetricInfo("lower", text, "privacy")},
        left_out=[text], failed_data=[text], broken=[text],
    )  # fmt: skip
    named = text.replace(",", "")
    environment = Environment(text, libraries={"ctrbench": named, "torch": named}, plugins={text: text}, cpu=text)
    return RunResults("run1", 0.0, 1.0, text, info, [environment], cells, pools)
