"""The page: an input, a column for each arm, and which of them one would have got."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from marina.errors import MarinaError
from marina.playground.arms import Arm, House, Reply
from marina.serving.ports import holder_of

LOOPBACK = "127.0.0.1"
TITLE = "Marina playground"
REFRESH_SECONDS = 5
TOP_CLASSES = 5
PICTURE_PIXELS = 280
CSS = """
.arm {border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 12px}
footer {display: none !important}
"""


def page(house: House, examples: list[Path]) -> gr.Blocks:
    """The page, to be launched.

    Args:
        house: where its answers come from.
        examples: inputs to begin with.
    """
    with gr.Blocks(title=TITLE) as blocks:
        gr.Markdown(f"# {TITLE}\nOne input, every arm's answer side by side, with what spoke for it.")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                model = gr.Dropdown(house.models(), label="Model", elem_id="model")
                picture = gr.Image(type="filepath", label="Input", sources=["upload", "clipboard"], elem_id="input")
                if examples:
                    gr.Examples([[str(path)] for path in examples], picture)
                key = gr.Textbox("ana", label="Caller (the sticky key)", max_lines=1, elem_id="caller")
                gr.Markdown("### Who gets which arm")
                assignment = gr.Markdown(elem_id="assignment")
                split = gr.Markdown(elem_id="split")
            with gr.Column(scale=3):
                _columns(house, model, picture)
        for changed in (model.change, key.submit, key.blur):
            changed(lambda name, caller: _assignment(house, name, caller), [model, key], assignment)
        timer = gr.Timer(REFRESH_SECONDS)
        for shown in (blocks.load, timer.tick, model.change):
            shown(lambda name: _split(house, name), model, split, show_progress="hidden")
        blocks.load(lambda name, caller: _assignment(house, name, caller), [model, key], assignment)
    return blocks


def launch(house: House, examples: list[Path], port: int) -> None:
    """Serve the page on this machine alone, until Ctrl-C.

    Raises:
        MarinaError: the port is taken.
    """
    shown = page(house, examples)
    try:
        shown.launch(server_name=LOOPBACK, server_port=port, share=False, css=CSS, allowed_paths=[str(one) for one in examples])
    except OSError as error:
        raise MarinaError(f"port {port} is taken{holder_of(port)}: give another with --port") from error


def _columns(house: House, model: gr.Dropdown, picture: gr.Image) -> None:
    """A column for each arm, made again for each model and input."""

    def columns(name: str | None, path: str | None) -> None:
        try:
            arms = house.arms(name) if name else []
        except MarinaError as error:
            gr.Markdown(f"**{error}**", elem_classes="arm")
            return
        content = Path(path).read_bytes() if path else None
        with gr.Row(equal_height=False):
            for arm in arms:
                with gr.Column(elem_classes="arm", min_width=240):
                    gr.Markdown(arm.heading)
                    _reply(arm, house.ask(str(name), arm.version, content) if content else None)

    gr.render(inputs=[model, picture])(columns)


def _reply(arm: Arm, reply: Reply | None) -> None:
    if reply is None:
        gr.Markdown("Drop an image to the left.")
    elif reply.kind == "error":
        gr.Markdown(f"**{reply.prediction.status or 'no answer'}**: {reply.prediction.error}")
    else:
        if reply.kind == "probabilities":
            gr.Label(reply.probabilities, num_top_classes=TOP_CLASSES, label=f"{arm.version} says", elem_classes="answer")
        else:
            gr.JSON(reply.prediction.body, label=f"{arm.version} says", max_height=300, elem_classes="answer")
        if reply.explanation is not None:
            gr.Image(
                reply.explanation, show_label=False, interactive=False, buttons=[], height=PICTURE_PIXELS, elem_classes="why"
            )
            gr.Markdown("Red speaks for it, blue against it.")
        gr.Markdown(reply.caption)


def _assignment(house: House, model: str | None, caller: str) -> str:
    try:
        return house.assignment(model, caller.strip()) if model else ""
    except MarinaError as error:
        return f"**{error}**"


def _split(house: House, model: str | None) -> str:
    """The state of the split, as a table with a bar a line."""
    try:
        arms = house.arms(model) if model else []
    except MarinaError as error:
        return f"**{error}**"
    rows = [f"| {arm.version} | {_bar(arm.weight)} | {arm.ready}/{arm.workers} |" for arm in arms]
    return "\n".join(["| arm | share | READY |", "|---|---|---|", *rows])


def _bar(weight: float | None) -> str:
    return "–" if weight is None else f"{'█' * round(weight / 10)} {weight:g} %"
