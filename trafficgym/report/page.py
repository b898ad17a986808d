"""What the pages of all evaluations are built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from trafficgym.report import plots
from trafficgym.report.forest import color


def page(title: str, sections: Sequence[str]) -> str:
    """The text of a page that loads nothing from elsewhere."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_style()}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def header(kicker: str, heading: str, facts: Mapping[str, str]) -> str:
    """The head of a page: which command, of what, and the facts by name."""
    items = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items())
    return (
        f"<header><p class='kicker'>{escape(kicker)}</p><h1>{escape(heading)}</h1>"
        f"<dl class='facts'>{items}</dl></header>"
    )


def made_with(environment: Mapping[str, object]) -> dict[str, str]:
    """Facts for the header, from `trafficgym.report.results.environment`."""
    workers = environment["workers"]
    return {
        "wall time": f"{environment['wall_time_s']:.1f} s" + (f", {workers} processes" if workers != 1 else ""),
        "made with": (
            f"trafficgym {environment['trafficgym']}, Python {environment['python']}, {environment['machine']}"
        ),
        "finished": str(environment["finished"])[:16].replace("T", " ") + " UTC",
    }


def section(heading: str, content: str) -> str:
    """A box with a heading; nothing where there is no content."""
    return f"<section><h2>{escape(heading)}</h2>{content}</section>" if content else ""


def note(text: str) -> str:
    """Small print."""
    return f"<p class='note'>{escape(text)}</p>"


def swatch(index: int) -> str:
    """The colour of the policy with this number."""
    return f"<i class='swatch' style='background:{color(index)}'></i>"


def plot(svg: str, text: str) -> str:
    """A plot with its note."""
    return f"<div class='plot'>{svg}</div>{note(text)}"


def no_plots() -> str:
    """What stands where plots would be; empty where they can be drawn."""
    if plots.is_available():
        return ""
    return note('Plots need matplotlib: pip install -e ".[baselines]", then run the same again.')


def left_out(scenes: Sequence[tuple[str, str]]) -> str:
    """Scenes and the reasons why they were left out."""
    lines = "".join(
        f"<tr><th scope='row'>{escape(scene_id)}</th><td>{escape(reason)}</td></tr>" for scene_id, reason in scenes
    )
    return f"<div class='scroll'><table><tbody>{lines}</tbody></table></div>" if lines else ""


def _style() -> str:
    return (files("trafficgym.report") / "page.css").read_text(encoding="utf-8")
