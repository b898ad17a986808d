"""The evaluation as one self-contained page: no script from elsewhere, no font, no picture that is not inside."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape

from trafficgym.metrics.bootstrap import Interval
from trafficgym.metrics.summary import Metric, Row, SceneMeasures
from trafficgym.report import plots
from trafficgym.report.evaluation import Evaluation, Outcome
from trafficgym.report.forest import forest
from trafficgym.report.numbers import GROUPS, number, span, title
from trafficgym.report.page import header, left_out, made_with, no_plots, note, page, plot, section, swatch
from trafficgym.report.results import environment
from trafficgym.report.worst import Clip, worst_scenes

SCENES_SHOWN = 40
SCENE_COLUMNS = {"collision": "collide %", "off_road": "off-road %", "ade": "ADE m"}


def render(evaluation: Evaluation, clips: Sequence[Clip]) -> str:
    """The text of `report.html`."""
    sections = [
        _header(evaluation),
        section("Summary", _summary(evaluation)),
        section(f"Difference to {evaluation.config.reference}", _differences(evaluation)),
        section("Distributions", _plot(plots.histograms, evaluation, HISTOGRAM_NOTE)),
        section("Worst scenes", _clips(clips)),
        section("Scene by scene", _plot(plots.scenes, evaluation, STRIP_NOTE) + _scene_table(evaluation)),
        section(
            "Scenes that were left out",
            left_out([(outcome.scene_id, outcome.problem) for outcome in evaluation.skipped]),
        ),
        section("What counts as what", _definitions(evaluation)),
    ]
    return page(f"trafficgym evaluation: {evaluation.source.name}", sections)


HISTOGRAM_NOTE = (
    "Grey: the log, over the same agents and steps. Lines: the policies, with their divergence from it in nats. "
    "Heights are square roots of densities, so that rare values show; the outermost bins hold all that lies beyond."
)
CLIP_NOTE = (
    "Every policy at the same moment; outlines are the log. Chosen: where most agents collide or leave the road that "
    "do not in the log."
)
STRIP_NOTE = "A dot is a scene, the bar the mean over scenes."


def _header(evaluation: Evaluation) -> str:
    config, num = evaluation.config, len(evaluation.outcomes) - len(evaluation.skipped)
    facts = {
        "scenes": f"{num}" + (f" (+ {len(evaluation.skipped)} left out)" if evaluation.skipped else ""),
        "rollouts per scene": str(config.rollouts),
        "agents": f"{max(row.num_agents for row in evaluation.rows)}, driven: {config.control}",
        "seed": str(config.seed),
    }
    facts |= made_with(environment(evaluation.workers, evaluation.wall_time_s))
    return header("trafficgym evaluate", evaluation.source.name, facts)


def _summary(evaluation: Evaluation) -> str:
    level = f"{100 * evaluation.config.bootstrap.level:.0f} %"
    text = f"Small figures and bars: {level} intervals from resampling scenes."
    return _rows_table(evaluation.rows, [row.policy for row in evaluation.rows]) + note(text)


def _differences(evaluation: Evaluation) -> str:
    if not evaluation.differences:
        return ""
    policies = [row.policy for row in evaluation.rows]
    text = (
        "Scene by scene, over the scenes that both have driven. Bold: the interval does not hold 0. "
        "Intervals are not corrected for the number of comparisons."
    )
    table = _rows_table(evaluation.differences, policies, signed=True)
    return f"<details><summary>Show</summary>{table}</details>{note(text)}"


def _rows_table(rows: Sequence[Row], policies: Sequence[str], *, signed: bool = False) -> str:
    """Metrics down, policies across, and their intervals as a small picture at the end of each line."""
    names = [row.policy for row in rows]
    colors = [policies.index(name) for name in names]
    top = "".join(f"<th class='num'>{swatch(i)}{escape(name)}</th>" for i, name in zip(colors, names, strict=True))
    body = []
    for group, metrics in GROUPS.items():
        body.append(f"<tr class='group'><th colspan='{len(rows) + 2}'>{escape(group)}</th></tr>")
        for metric in metrics:
            intervals = [row.values[metric.key] for row in rows]
            cells = "".join(_cell(metric, one, signed=signed) for one in intervals)
            picture = forest(metric, names, intervals, colors)
            label = f"<th scope='row' title='{escape(metric.meaning)}'>{escape(title(metric))}</th>"
            body.append(f"<tr>{label}{cells}<td>{picture}</td></tr>")
    head = f"<thead><tr><th></th>{top}<th></th></tr></thead>"
    return f"<div class='scroll'><table class='compare'>{head}<tbody>{''.join(body)}</tbody></table></div>"


def _cell(metric: Metric, interval: Interval | None, *, signed: bool) -> str:
    if interval is None:
        return "<td class='num none'>–</td>"
    text = number(metric, interval.value)
    if signed:
        text = text if interval.value <= 0 else f"+{text}"
        text = f"<b>{text}</b>" if interval.low > 0 or interval.high < 0 else text
    return f"<td class='num'>{text}<small>{span(metric, interval)}</small></td>"


def _plot(draw: Callable[[Evaluation], str], evaluation: Evaluation, text: str) -> str:
    return no_plots() or plot(draw(evaluation), text)


def _clips(clips: Sequence[Clip]) -> str:
    figures = [
        f"<figure><img alt='{escape(clip.scene_id)}' src='{_inline(clip)}'>"
        f"<figcaption><b>{escape(clip.scene_id)}</b> {escape(clip.caption)}</figcaption></figure>"
        for clip in clips
    ]
    return f"<div class='clips'>{''.join(figures)}</div>{note(CLIP_NOTE)}" if clips else ""


def _inline(clip: Clip) -> str:
    data = base64.b64encode(clip.path.read_bytes()).decode()
    return f"data:image/{clip.path.suffix[1:]};base64,{data}"


def _scene_table(evaluation: Evaluation) -> str:
    shown = worst_scenes(evaluation, SCENES_SHOWN)
    metrics = [metric for group in GROUPS.values() for metric in group if metric.key in SCENE_COLUMNS]
    policies = [row.policy for row in evaluation.rows]
    top = "".join(
        f"<th class='num' colspan='{len(metrics)}'>{swatch(i)}{escape(name)}</th>" for i, name in enumerate(policies)
    )
    sub = "".join(f"<th class='num'>{SCENE_COLUMNS[metric.key]}</th>" for metric in metrics) * len(policies)
    worst = {metric.key: max([1e-9, *_values(evaluation.measures, metric.key)]) for metric in metrics}
    lines = "".join(_scene_line(outcome, metrics, policies, worst) for outcome in shown)
    rest = len(evaluation.outcomes) - len(evaluation.skipped) - len(shown)
    text = note(f"Worst first; {rest} more scenes are in results.json.") if rest > 0 else ""
    head = f"<thead><tr><th></th><th></th>{top}</tr><tr><th>scene</th><th class='num'>agents</th>{sub}</tr></thead>"
    return f"<div class='scroll'><table class='dense'>{head}<tbody>{lines}</tbody></table></div>{text}"


def _values(measures: Sequence[SceneMeasures], key: str) -> list[float]:
    return [value for one in measures if (value := one.value(key)) is not None]


def _scene_line(outcome: Outcome, metrics: Sequence[Metric], policies: Sequence[str], worst: dict[str, float]) -> str:
    measured = {one.policy: one for one in outcome.measures}
    cells = []
    for policy in policies:
        for metric in metrics:
            value = measured[policy].value(metric.key)
            shade = 0.0 if value is None else 0.55 * value / worst[metric.key]
            text = "–" if value is None else number(metric, value)
            cells.append(f"<td class='num' style='background:rgba(213,94,0,{shade:.2f})'>{text}</td>")
    agents = outcome.measures[0].num_agents
    return f"<tr><th scope='row'>{escape(outcome.scene_id)}</th><td class='num'>{agents}</td>{''.join(cells)}</tr>"


def _definitions(evaluation: Evaluation) -> str:
    lines = "".join(
        f"<div><dt>{escape(metric.label)}</dt><dd>{escape(metric.meaning)}</dd></div>"
        for metrics in GROUPS.values()
        for metric in metrics
    )
    bootstrap = evaluation.config.bootstrap
    text = (
        f"Agents are the tracks that the policy drives ({evaluation.config.control!r}) and that are on the road at the "
        "start. Boxes have their full size. Infractions neither stop nor remove anybody. Rates and means are over all "
        f"agents of all scenes; intervals are percentiles over {bootstrap.num_resamples} draws of scenes with "
        "replacement, which say nothing about other seeds of training; those of divergences lean upwards where scenes "
        "are few."
    )
    return f"{note(text)}<dl class='definitions'>{lines}</dl>"
