"""A progress bar, on a terminal or in a notebook."""

from __future__ import annotations

import contextlib
import html
import logging
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from penstock._threads import background_thread
from penstock.logs.current_node import replaced
from penstock.pipeline.topology import children

if TYPE_CHECKING:
    from penstock._typing import PipelineLike
    from penstock.runs.recorder import Recorder

TICK_SECONDS = 0.5
"""How often the bar is drawn while no node finishes, so that its clock runs."""

DRAW_SECONDS = 0.1
"""The shortest time between two drawings when many nodes finish."""

WIDTH = 20
NODES_SHOWN = 3
"""How many of the nodes that can run now are named."""


@contextlib.contextmanager
def progress_bar(pipeline: PipelineLike, recorder: Recorder) -> Iterator[None]:
    """Inside this block, a progress bar is shown if there is a terminal or a notebook.

    Args:
        pipeline: The pipeline that runs.
        recorder: Reports finished nodes.
    """
    screen = _screen() if pipeline.nodes else None
    if screen is None:
        yield
        return
    with contextlib.closing(screen):
        bar, is_over = Bar(pipeline, screen), threading.Event()
        recorder.on_finish = bar.finish
        bar.draw()
        try:
            with background_thread(lambda: bar.tick_until(is_over), "penstock-bar", is_over.set):
                yield
        finally:
            bar.draw()


class Bar:
    """Counts finished nodes, the time, and the nodes that can run now.

    Args:
        pipeline: The pipeline that runs.
        screen: Draws the bar.
    """

    def __init__(self, pipeline: PipelineLike, screen: Notebook | Terminal) -> None:
        needed = {
            node.name: {each.name for each in pipeline.node_dependencies[node]} for node in pipeline.nodes
        }
        self._screen = screen
        self._total = len(needed)
        self._missing = {name: len(names) for name, names in needed.items()}
        self._next = children(needed)
        self._waited_for = dict.fromkeys(name for name, count in self._missing.items() if not count)
        self._done = 0
        self._began = time.monotonic()
        self._drawn_at = 0.0

    def finish(self, node: str) -> None:
        """Count a finished node."""
        self._done += 1
        self._waited_for.pop(node, None)
        for name in self._next[node]:
            self._missing[name] -= 1
            if not self._missing[name]:
                self._waited_for[name] = None
        if time.monotonic() - self._drawn_at > DRAW_SECONDS:
            self.draw()

    def tick_until(self, is_over: threading.Event) -> None:
        """Draw regularly, until the event is set."""
        while not is_over.wait(TICK_SECONDS):
            self.draw()

    def draw(self) -> None:
        """Draw the bar."""
        self._drawn_at = time.monotonic()
        minutes, seconds = divmod(int(self._drawn_at - self._began), 60)
        names = list(self._waited_for)
        text = f"{self._done} of {self._total} nodes, {minutes}:{seconds:02}"
        if names:
            more = f" and {len(names) - NODES_SHOWN} more" if len(names) > NODES_SHOWN else ""
            text = f"{text}, waiting for {', '.join(names[:NODES_SHOWN])}{more}"
        self._screen.draw(self._done, self._total, text)


def _screen() -> Notebook | Terminal | None:
    """The notebook cell, or the terminal; None without either."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is not None:
        return Notebook(sys.modules["IPython"].display)
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return Terminal() if is_terminal else None


class Notebook:
    """Draws in the output of a notebook cell.

    Args:
        display: The module `IPython.display`.
    """

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None

    def draw(self, done: int, total: int, text: str) -> None:
        """Replace what is shown."""
        bar = f'<progress value="{done}" max="{total}"></progress>'
        data = {"text/plain": text, "text/html": f"<div>{bar} {html.escape(text)}</div>"}
        if self._handle is None:
            self._handle = self._display.display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)

    def close(self) -> None:
        """Nothing: the output stays."""


class Terminal:
    """Draws in the last line of a terminal. Logs and prints appear above it."""

    def __init__(self) -> None:
        # Reentrant, since writing may log.
        self._lock = threading.RLock()
        self._terminal = sys.stderr
        self._line = ""
        self._is_drawn = self._is_closed = False
        self._is_complete = True
        """Whether the text above ends with a line end."""
        self._above = contextlib.ExitStack()
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                self._above.enter_context(_stream_replaced(name, stream, _Above(stream, self)))

    def draw(self, done: int, total: int, text: str) -> None:
        """Replace what is shown."""
        columns = shutil.get_terminal_size().columns
        line = f"[{'#' * (WIDTH * done // total):{WIDTH}}] {text}"
        # The terminal may be closed, which must not end the run.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._clear()
            self._line = line if len(line) < columns else f"{line[: max(0, columns - 4)]}..."
            self._show()
            self._terminal.flush()

    def write(self, stream: Any, text: str) -> int:
        """Write above the bar, which is hidden while the last line above is unfinished."""
        with self._lock:
            if self._is_closed:
                # Another library may have kept the stream after the run.
                return int(stream.write(text))
            self._clear()
            written: int = stream.write(text)
            stream.flush()
            self._is_complete = text.endswith("\n")
            self._show()
            self._terminal.flush()
            return written

    def close(self) -> None:
        """Leave the last drawing, and go to the next line."""
        self._above.close()
        with self._lock, contextlib.suppress(OSError, ValueError):
            if not self._is_complete:
                self._terminal.write("\n")
                self._is_complete = True
                self._show()
            self._is_closed = True
            self._terminal.write("\n")
            self._terminal.flush()

    def _clear(self) -> None:
        if self._is_drawn:
            self._terminal.write(f"\r{' ' * len(self._line)}\r")
            self._terminal.flush()
            self._is_drawn = False

    def _show(self) -> None:
        if self._is_complete:
            self._terminal.write(self._line)
            self._is_drawn = True


class _Above:
    """A standard stream of the terminal; writes appear above the bar."""

    def __init__(self, stream: Any, terminal: Terminal) -> None:
        self._stream = stream
        self._terminal = terminal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write above the bar."""
        return self._terminal.write(self._stream, text) if text else 0


@contextlib.contextmanager
def _stream_replaced(name: str, stream: Any, other: Any) -> Iterator[None]:
    """Inside this block, another stream is in `sys` and in the logging handlers that had the first one."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [each for logger in loggers for each in getattr(logger, "handlers", ())]
    holders = [each for each in handlers if getattr(each, "stream", None) is stream]
    with replaced(sys, name, other):
        for handler in holders:
            handler.setStream(other)
        try:
            yield
        finally:
            for handler in holders:
                if handler.stream is other:
                    handler.setStream(stream)
