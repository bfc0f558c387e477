"""A Chromium without a window, controlled over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import time
import urllib.request

from tornado.websocket import websocket_connect

COMMANDS = ("chromium", "chromium-browser", "google-chrome")

OPTIONS = [
    "--headless",
    "--no-sandbox",  # which root cannot have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
    "--remote-debugging-port=0",
]

SECONDS = 120
"""How long Chromium may take to start, to answer, to show what is waited for, and to end."""

MOST_BYTES = 50_000_000
"""Of one answer: a screenshot has some hundred thousand."""


def command():
    """The path of a Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, COMMANDS)), None)


@contextlib.contextmanager
def browser(folder):
    """The port of a new Chromium, whose profile is in the folder."""
    process = subprocess.Popen(
        [command(), *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        file, end = folder / "DevToolsActivePort", time.monotonic() + SECONDS
        while not (file.exists() and file.read_text().count("\n")):
            assert process.poll() is None, "Chromium ended"
            assert time.monotonic() < end, "Chromium does not listen"
            time.sleep(0.1)
        yield int(file.read_text().split("\n")[0])
    finally:
        process.terminate()
        process.wait(SECONDS)


class Page:
    """One page of the browser, in a tab of its own.

    Args:
        port: Of the browser.
        url: Where it goes.

    Attributes:
        errors: What went wrong on the page so far: exceptions in its scripts, errors that they log, answers of 400 and above.
            Not that other hosts cannot be reached, which style sheets of Dask's come from.
    """

    def __init__(self, port, url):
        self.errors = []
        self._sent = 0
        self._loop = asyncio.new_event_loop()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/json/new", method="PUT")
        with urllib.request.urlopen(request) as answer:
            target = json.load(answer)
        address = target["webSocketDebuggerUrl"]
        self._socket = self._wait(websocket_connect, address, max_message_size=MOST_BYTES)
        self._end = f"http://127.0.0.1:{port}/json/close/{target['id']}"
        for domain in ("Page", "Runtime", "Network"):
            self._call(f"{domain}.enable")
        self._call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def close(self):
        """Leave the page."""
        urllib.request.urlopen(self._end).close()
        self._wait(self._hang_up)
        self._loop.close()

    async def _hang_up(self):
        self._socket.close()
        while await self._socket.read_message() is not None:
            pass

    def run(self, script):
        """The value of an expression in JavaScript."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script, seconds=SECONDS):
        """The value of an expression, as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"{script} never was so"
            time.sleep(0.1)
        return value

    def picture(self):
        """What is to be seen, as the bytes of a PNG file."""
        # A page in the background is not painted.
        self._call("Page.bringToFront")
        return base64.b64decode(self._call("Page.captureScreenshot")["data"])

    def _wait(self, function, *args, **kwargs):
        """What the function's future gives; it takes the event loop that it is called in."""

        async def waited():
            return await asyncio.wait_for(function(*args, **kwargs), SECONDS)

        return self._loop.run_until_complete(waited())

    def _call(self, method, **params):
        self._sent += 1
        text = json.dumps({"id": self._sent, "method": method, "params": params})
        self._wait(self._socket.write_message, text)
        while True:
            message = json.loads(self._wait(self._socket.read_message))
            if message.get("id") == self._sent:
                assert "error" not in message, message["error"]
                return message["result"]
            self._note(message.get("method"), message.get("params"))

    def _note(self, event, parameters):
        if event == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.errors.append(json.dumps(parameters["args"]))
        elif event == "Network.responseReceived" and parameters["response"]["status"] >= 400:
            self.errors.append(f"{parameters['response']['status']} {parameters['response']['url']}")
