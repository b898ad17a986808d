"""Realism as one self-contained page."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from trafficgym.report import realism_plots as draw
from trafficgym.report.page import header, left_out, made_with, no_plots, note, page, plot, section, swatch
from trafficgym.report.realism import OFFICIAL_ROLLOUTS, RealismEvaluation, RealismRow
from trafficgym.report.realism_lines import CAPTION, META, Line, bracket, label, lines
from trafficgym.report.realism_pooled import worst_agents
from trafficgym.report.realism_scene import AgentLoss, SceneRealism
from trafficgym.report.results import environment

SCENES_SHOWN, AGENTS_SHOWN, FEATURES_NAMED = 20, 10, 3
HISTOGRAM_NOTE = (
    "All evaluated agents of all scenes. Grey: the log, at the steps that count. Lines: the policies. Bins are those "
    "of the metric, which has a histogram for each agent; the outermost hold all that lies beyond. Steps at the end of "
    "the horizon that have no speed or acceleration are left out here; the metric counts them for the last bin. "
    "Heights are square roots of densities, so that rare values show."
)
BARS_NOTE = (
    "Left: likelihood of each feature. Right: its part in the distance to the log's replay, weight times difference; "
    "where no scene lacks a feature, the bars of a policy add up to the whole distance."
)
TIME_NOTE = (
    "Mean natural logarithm of the likelihood of the logged values at each step (nats), over all evaluated agents that "
    "count; it falls where rollouts drift away from what was recorded."
)
SCENES_NOTE = "By what the policies lose against the log's replay, the worst first; results.json has every scene."
AGENTS_NOTE = (
    "Evaluated agents by the points of the meta-metric, in hundredths, that their own likelihoods lose against the "
    "log's replay, and the features that cost most."
)


def render(evaluation: RealismEvaluation) -> str:
    """The text of `report.html`."""
    skipped = [(outcome.scene_id, outcome.problem) for outcome in evaluation.skipped]
    sections = [
        _header(evaluation),
        section("Realism", _table(evaluation) + note(CAPTION) + "".join(map(note, remarks(evaluation)))),
        section("Where it is lost", _plot(draw.likelihoods, evaluation, BARS_NOTE)),
        section("Distributions", _plot(draw.histograms, evaluation, HISTOGRAM_NOTE)),
        section("Along the horizon", _plot(draw.over_time, evaluation, TIME_NOTE)),
        section("Worst scenes", _scenes(evaluation)),
        section("Worst agents", _agents(evaluation)),
        section("Scenes that were left out", left_out(skipped)),
    ]
    return page(f"trafficgym realism: {evaluation.source.name}", sections)


def remarks(evaluation: RealismEvaluation) -> list[str]:
    """What a reader must know about these very numbers."""
    num, config = len(evaluation.scored), evaluation.config
    found = []
    if evaluation.skipped:
        at_fault = sum(outcome.is_fault_of_rollouts for outcome in evaluation.skipped)
        because = f", {at_fault} of them because of the rollouts" if at_fault else ""
        found.append(f"Means are over {num} scenes; {len(evaluation.skipped)} were left out{because}.")
    for name, count in evaluation.missing.items():
        found.append(
            f"{count} of {num} scenes have no {label(name)}, mostly because the map has no road edge; their "
            "meta-metric is taken over the other features, by their weights."
        )
    if config.rollouts_per_scene != OFFICIAL_ROLLOUTS:
        found.append(
            f"{config.rollouts_per_scene} rollouts of each scene are scored together, where the challenge takes "
            f"{OFFICIAL_ROLLOUTS}: scores do not compare with published ones."
        )
    return found


def _header(evaluation: RealismEvaluation) -> str:
    config, skipped = evaluation.config, len(evaluation.skipped)
    facts = {
        "scenes": f"{len(evaluation.scored)}" + (f" (+ {skipped} left out)" if skipped else ""),
        "rollouts per scene": str(config.rollouts_per_scene),
        "WOSAC config": config.config.name,
        "seed": str(config.seed),
    }
    if config.rollouts is not None:
        facts["rollouts from"] = str(config.rollouts)
    facts |= made_with(environment(evaluation.workers, evaluation.wall_time_s))
    return header("trafficgym wosac evaluate", evaluation.source.name, facts)


def _table(evaluation: RealismEvaluation) -> str:
    rows = (*evaluation.rows, evaluation.oracle)
    colors = (*range(1, len(rows)), 0)
    top = "".join(f"<th class='num'>{swatch(i)}{escape(row.policy)}</th>" for i, row in zip(colors, rows, strict=True))
    body = "".join(_line(line, rows) for line in lines(evaluation.config.config))
    return (
        f"<div class='scroll'><table class='dense'><thead><tr><th></th>{top}</tr></thead><tbody>{body}</tbody></table>"
        "</div>"
    )


def _line(line: Line, rows: tuple[RealismRow, ...]) -> str:
    is_part = line.label.startswith(" ")
    cells = []
    for row in rows:
        bounds = f"<small>{escape(bracket(row.interval))}</small>" if line is META else ""
        cells.append(f"<td class='num'>{line.text(row.score)}{bounds}</td>")
    name = escape(line.title.strip())
    heading = f"<span class='part'>{name}</span>" if is_part else f"<b>{name}</b>"
    return f"<tr><th scope='row'>{heading}</th>{''.join(cells)}</tr>"


def _plot(drawing: Callable[[RealismEvaluation], str], evaluation: RealismEvaluation, text: str) -> str:
    return no_plots() or plot(drawing(evaluation), text)


def _scenes(evaluation: RealismEvaluation) -> str:
    shown = sorted(evaluation.scored, key=lambda outcome: (-_lost(outcome), outcome.scene_id))[:SCENES_SHOWN]
    top = "".join(f"<th class='num'>{swatch(i)}{escape(row.policy)}</th>" for i, row in enumerate(evaluation.rows, 1))
    lines = "".join(_scene_line(outcome) for outcome in shown)
    return (
        f"<div class='scroll'><table class='dense'><thead><tr><th>scene</th>{top}<th class='num'>{swatch(0)}"
        f"{escape(evaluation.oracle.policy)}</th></tr></thead><tbody>{lines}</tbody></table></div>{note(SCENES_NOTE)}"
    )


def _lost(outcome: SceneRealism) -> float:
    """What a scene loses against the log's replay, mean over policies."""
    return sum(_best(outcome) - one.score.metametric for one in outcome.policies) / len(outcome.policies)


def _best(outcome: SceneRealism) -> float:
    oracle = outcome.policies[0].score.oracle
    assert oracle is not None
    return oracle.metametric


def _scene_line(outcome: SceneRealism) -> str:
    cells = []
    for one in outcome.policies:
        shade = min(max(_best(outcome) - one.score.metametric, 0.0), 0.55)
        cells.append(f"<td class='num' style='background:rgba(213,94,0,{shade:.2f})'>{META.text(one.score)}</td>")
    return (
        f"<tr><th scope='row'>{escape(outcome.scene_id)}</th>{''.join(cells)}"
        f"<td class='num'>{_best(outcome):.4f}</td></tr>"
    )


def _agents(evaluation: RealismEvaluation) -> str:
    body = []
    for number, row in enumerate(evaluation.rows):
        agents = [agent for agent in worst_agents(evaluation, number, AGENTS_SHOWN) if agent.lost > 0]
        body.append(f"<tr class='group'><th colspan='5'>{swatch(number + 1)}{escape(row.policy)}</th></tr>")
        body += [_agent_line(agent) for agent in agents]
    head = "<tr><th>scene</th><th class='num'>agent</th><th></th><th class='num'>lost</th><th>most of it</th></tr>"
    return (
        f"<div class='scroll'><table class='dense'><thead>{head}</thead><tbody>{''.join(body)}</tbody></table></div>"
        f"{note(AGENTS_NOTE)}"
    )


def _agent_line(agent: AgentLoss) -> str:
    worst = sorted(agent.by_feature.items(), key=lambda item: -item[1])[:FEATURES_NAMED]
    named = ", ".join(f"{label(name)} {100 * lost:.1f}" for name, lost in worst if lost > 0)
    return (
        f"<tr><th scope='row'>{escape(agent.scene_id)}</th><td class='num'>{agent.id}</td><td>{escape(agent.type)}</td>"
        f"<td class='num'>{100 * agent.lost:.1f}</td><td>{escape(named)}</td></tr>"
    )
