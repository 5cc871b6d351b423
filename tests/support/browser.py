"""A real browser without a window, driven by its own protocol (Chrome DevTools Protocol) over one WebSocket."""

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

START_S = 30.0
WITHIN_S = 10.0


@dataclass(eq=False)
class Page:
    """One tab: what it is asked, what it complained about, and to whom it talked."""

    socket: aiohttp.ClientWebSocketResponse
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Every address that it requested."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)

    async def listen(self) -> None:
        """Take what the browser says until it ends."""
        async for message in self.socket:
            said = json.loads(message.data)
            if (waiting := self._waiting.pop(said.get("id", 0), None)) is not None and not waiting.done():
                waiting.set_result(said)
            match said.get("method"):
                case "Runtime.exceptionThrown":
                    self.complaints.append(json.dumps(said["params"]["exceptionDetails"]))
                case "Log.entryAdded":
                    self.complaints.append(f"{said['params']['entry']['level']}: {said['params']['entry']['text']}")
                case "Network.requestWillBeSent":
                    self.asked.append(said["params"]["request"]["url"])

    async def send(self, method: str, **params: Any) -> Any:
        """Give a command and return its result."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": number, "method": method, "params": params})
        said = await asyncio.wait_for(self._waiting[number], WITHIN_S)
        assert "error" not in said, said
        return said["result"]

    async def run(self, script: str) -> Any:
        """Evaluate JavaScript in the page, also what has to be awaited."""
        said = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def until(self, script: str, within_s: float = WITHIN_S) -> Any:
        """Wait until an expression is true."""
        ends = time.monotonic() + within_s
        while not (value := await self.run(script)):
            text = await self.run("document.body.innerText")
            assert time.monotonic() < ends, f"{script} did not come true; the page says:\n{text}"
            await asyncio.sleep(0.05)
        return value

    async def click(self, selector: str) -> None:
        """Click as a person does: at the middle of an element."""
        box = await self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView(); "
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    async def write(self, selector: str, text: str) -> None:
        """Put text into a field, as typed."""
        field = f"document.querySelector({json.dumps(selector)})"
        await self.until(f"({field}.focus(), document.activeElement === {field})")
        await self.send("Input.insertText", text=text)

    async def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a field for files."""
        root = await self.send("DOM.getDocument")
        node = await self.send("DOM.querySelector", nodeId=root["root"]["nodeId"], selector=selector)
        await self.send("DOM.setFileInputFiles", files=[str(path)], nodeId=node["nodeId"])

    async def look_like(self, width: int, height: int, scheme: str) -> None:
        """Become a screen of this size, in light or dark."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def screenshot(self, path: Path) -> None:
        """Save what can be seen as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        data = (await self.send("Page.captureScreenshot", captureBeyondViewport=True))["data"]
        path.write_bytes(base64.b64decode(data))


@contextlib.asynccontextmanager
async def browser_at(address: str, folder: Path) -> AsyncIterator[Page]:
    """Open an address in a browser of its own, and end it afterwards."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("chromium: not found, got none. Install it: `apt-get install chromium`.")
    profile = folder / "profile"
    words = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server")
    process = await asyncio.create_subprocess_exec(
        *(program, *words, *quiet, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"),
        stderr=(folder / "browser.log").open("wb"),
    )
    try:
        port = await _port(profile / "DevToolsActivePort", folder / "browser.log")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                tabs = await answer.json()
            where = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            async with session.ws_connect(where, max_msg_size=0) as socket:
                page = Page(socket)
                listening = asyncio.create_task(page.listen())
                for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
                    await page.send(f"{domain}.enable")
                await page.send("Page.navigate", url=address)
                try:
                    yield page
                finally:
                    listening.cancel()
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def _port(file: Path, log: Path) -> int:
    ends = time.monotonic() + START_S
    while not file.is_file() or "\n" not in file.read_text():
        assert time.monotonic() < ends, log.read_text(errors="replace")
        await asyncio.sleep(0.05)
    return int(file.read_text().splitlines()[0])
