"""The page at /ui in a real browser, before a real gateway: what people see, and that nothing of theirs is markup.

Screenshots of every look are left in out/screenshots.
"""

import json
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.keys import Keys
from gateway.tenancy import Tenancy
from tests.support.browser import Page, browser_at
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_loading import on_demand
from tests.unit.gateway.test_stage import CHAT, Stage, eventually, staged

SCREENSHOTS = Path(__file__).parents[3] / "out" / "screenshots"
MARKUP = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"
PHONE, DESKTOP = (360, 740), (1280, 860)
METRICS = """\
vllm:num_requests_running{model_name="a"} 2
vllm:num_requests_waiting{model_name="a"} 1
vllm:kv_cache_usage_perc{model_name="a"} 0.25
vllm:generation_tokens_total{model_name="a"} %d
vllm:prompt_tokens_total{model_name="a"} 100
"""


@pytest.fixture
def engines() -> tuple[FakeEngine, FakeEngine]:
    return FakeEngine(name="a", tokens=4, metrics_text=METRICS % 100), FakeEngine(name="b", is_healthy=False)


@pytest.fixture
async def stage(tmp_path: Path, engines: tuple[FakeEngine, ...]) -> AsyncIterator[Stage]:
    (tmp_path / "sockets").mkdir()
    async with staged(tmp_path / "sockets", *engines) as running:
        running.gateway.fleet.registry.models["a"].__dict__["description"] = MARKUP
        yield running


@pytest.fixture
async def page(stage: Stage, tmp_path: Path) -> AsyncIterator[Page]:
    async with browser_at(f"http://127.0.0.1:{stage.port}/ui", tmp_path) as opened:
        await opened.look_like(*DESKTOP, "light")
        await opened.until("document.querySelector('#health')?.textContent")
        yield opened


def assert_is_clean(page: Page, port: int) -> None:
    """Nothing was complained about, and nobody else was asked."""
    assert page.complaints == []
    assert {address.partition("/ui")[0] for address in page.asked if "/ui" in address} == {f"http://127.0.0.1:{port}"}
    assert [address for address in page.asked if not address.startswith((f"http://127.0.0.1:{port}/", "data:"))] == []


async def test_models_are_shown_with_their_state_and_figures(
    page: Page, stage: Stage, engines: tuple[FakeEngine, ...]
) -> None:
    await page.until("document.querySelector('#health').textContent === '1 of 2 models ready'")
    await page.until("document.querySelectorAll('article').length === 2")
    engines[0].metrics_text = METRICS % 160
    await page.until("/Tokens a second\\n[1-9]/.test(document.querySelector('[data-model=a]').innerText)")
    said = await page.run("document.querySelector('[data-model=a]').innerText")
    assert said.splitlines()[:2] == ["a", "ready"]
    assert "Running, waiting\n2, 1" in said
    assert "KV cache in use\n25.0 %" in said
    assert (await page.run("document.querySelector('[data-model=b]').innerText")).splitlines()[:2] == ["b", "loading"]
    await page.until("document.querySelectorAll('polyline')[0].getAttribute('points').includes(',')")
    assert_is_clean(page, stage.port)


async def test_a_playground_streams_thoughts_an_answer_and_calls(
    page: Page, stage: Stage, engines: tuple[FakeEngine, ...], tmp_path: Path
) -> None:
    call = [{"index": 0, "function": {"name": "weather", "arguments": '{"city": '}}]
    rest = [{"index": 0, "function": {"arguments": '"Paris"}'}}]
    engines[0].deltas = (
        {"role": "assistant", "content": ""},
        {"reasoning": "Hm. "},
        {"content": "It is "},
        {"content": "blue."},
        {"tool_calls": call},
        {"tool_calls": rest},
    )
    picture = tmp_path / "dot.png"
    picture.write_bytes(png())
    await page.click("[data-section=playground]")
    await page.until("document.querySelector('#model').value === 'a'")
    await page.write("#system", "Be brief.")
    await page.write("#question", "Which colour?")
    await page.choose_file("#picture", picture)
    await page.write("#tools", '[{"type": "function", "function": {"name": "weather", "parameters": {}}}]')
    await page.click("#send")
    await page.until("document.querySelector('#calls').textContent === 'weather({\"city\": \"Paris\"})'")
    assert await page.run("document.querySelector('#answer').textContent") == "It is blue."
    assert await page.run("document.querySelector('#thought pre').textContent") == "Hm. "
    await page.until("document.querySelector('#figures').textContent.endsWith(', 6 tokens')")
    await page.screenshot(SCREENSHOTS / "playground-desktop-light.png")
    asked = json.loads(engines[0].received[0].body)
    assert (asked["model"], asked["stream"], asked["max_tokens"], asked["temperature"]) == ("a", True, 256, 0.7)
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    text, image = asked["messages"][1]["content"]
    assert text == {"type": "text", "text": "Which colour?"}
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert asked["tools"][0]["function"]["name"] == "weather"
    assert_is_clean(page, stage.port)


async def test_stopping_an_answer_ends_it_at_the_engine(
    page: Page, stage: Stage, engines: tuple[FakeEngine, ...]
) -> None:
    engines[0].tokens, engines[0].token_delay_s = 1000, 0.05
    await page.click("[data-section=playground]")
    await page.until("document.querySelector('#model').value === 'a'")
    await page.run("document.querySelector('#max-tokens').value = 1000")
    await page.write("#question", "Count.")
    await page.click("#send")
    await page.until("document.querySelector('#answer').textContent.length > 9")
    await page.click("#stop")
    await page.until("document.querySelector('#stop').disabled")
    await eventually(lambda: engines[0].received[0].cancelled_at is not None)
    assert await page.run("document.querySelector('#problem').hidden") is True


@pytest.mark.parametrize("where", ["description", "answer", "error", "name in the log"])
async def test_markup_is_text_wherever_it_comes_from(
    page: Page, stage: Stage, engines: tuple[FakeEngine, ...], where: str
) -> None:
    if where == "description":
        await page.until(f"document.querySelector('[data-model=a] p').textContent === {json.dumps(MARKUP)}")
    elif where == "name in the log":
        async with stage.chat(MARKUP) as answer:
            assert answer.status == 404
        await page.click("[data-section=requests]")
        await page.until("document.querySelectorAll('#request-rows tr').length > 0")
    else:
        engines[0].deltas = ({"content": MARKUP},)
        await page.click("[data-section=playground]")
        await page.until("document.querySelector('#model').value === 'a'")
        await page.write("#question", MARKUP)
        named = (
            f"document.querySelector('#model').options[0].value = {json.dumps(MARKUP)}; " if where == "error" else ""
        )
        await page.run(f"{named}document.querySelector('#ask').requestSubmit()")
        place = "#problem" if where == "error" else "#answer"
        await page.until(f"document.querySelector('{place}').textContent.includes('<b>bold</b>')")
    assert await page.run("document.querySelectorAll('img, b').length") == 0
    assert await page.run("document.title") == "axion"


async def test_requests_are_listed_without_what_was_asked(page: Page, stage: Stage) -> None:
    async with stage.session.post("/v1/chat/completions", json={"model": "a", "messages": [{"content": "my secret"}]}):
        pass
    async with stage.chat("nobody"):
        pass
    await page.click("[data-section=requests]")
    await page.until("document.querySelectorAll('#request-rows tr').length > 2")
    rows = await page.run("[...document.querySelectorAll('#request-rows tr')].map((row) => row.innerText)")
    assert any("404 model_not_found" in row for row in rows)
    assert any("\t/v1/chat/completions\t200\t" in row for row in rows)
    assert "my secret" not in str(rows)


async def test_with_keys_the_page_asks_for_one_and_keeps_it_in_the_tab(
    page: Page, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("the-one-key-of-this-test\n")
    monkeypatch.setattr("gateway.keys.HOST_ROUTES", frozenset())
    stage.gateway.tenancy.keys = Keys(keys)
    await page.until("!document.querySelector('#key-form').hidden")
    await page.write("#key", "wrong")
    await page.run("document.querySelector('#key-form').requestSubmit()")
    await page.until("document.querySelector('#key').value === '' && !document.querySelector('#key-form').hidden")
    await page.write("#key", "the-one-key-of-this-test")
    await page.run("document.querySelector('#key-form').requestSubmit()")
    await page.until(
        "document.querySelector('#key-form').hidden && document.querySelector('#health').textContent.includes('ready')"
    )
    assert "the-one-key" not in str(page.asked)
    assert await page.run("JSON.stringify(localStorage) + document.cookie") == "{}"


async def test_a_key_sees_what_it_used_and_may(page: Page, stage: Stage, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("sk-0123456789abcdef0123 name=alice tokens_per_day=1000\n")
    stage.gateway.tenancy = Tenancy(Keys(keys))
    await page.run("sessionStorage.setItem('key', 'sk-0123456789abcdef0123')")
    headers = {"Authorization": "Bearer sk-0123456789abcdef0123"}
    async with stage.session.post(CHAT, json={"model": "a", "messages": []}, headers=headers):
        pass
    await page.click("[data-section=usage]")
    await page.until("document.querySelectorAll('#usage-rows tr').length === 1")
    assert await page.run("document.querySelector('#usage-rows').innerText") == "a\t1\t0\t1\t4\t0"
    said = "What alice used since midnight (UTC). It may use 1000 tokens per day."
    assert await page.run("document.querySelector('#allowance').textContent") == said


async def test_a_model_on_demand_is_loaded_and_unloaded_by_its_button(tmp_path: Path) -> None:
    (tmp_path / "sockets").mkdir()
    async with on_demand(tmp_path / "sockets", FakeEngine(name="a"), FakeEngine(name="b")) as (stage, starter):
        async with browser_at(f"http://127.0.0.1:{stage.port}/ui", tmp_path) as page:
            await page.look_like(*DESKTOP, "light")
            for state, text in (("stopped", "Load"), ("ready", "Unload"), ("stopped", "Load")):
                await page.until(f"document.querySelector('[data-model=a] .state')?.textContent === '{state}'")
                assert await page.run("document.querySelector('[data-model=a] button').textContent") == text
                await page.click("[data-model=a] button")
            starter.fails.add("b")
            await page.click("[data-model=b] button")
            await page.until("document.querySelector('#problem').textContent.includes('b')")
        assert starter.calls[:2] == [("start", "a"), ("stop", "a")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("kind", "size"), [("phone", PHONE), ("desktop", DESKTOP)])
async def test_every_section_fits_phone_and_desktop_in_light_and_dark(
    page: Page, kind: str, size: tuple[int, int], scheme: str
) -> None:
    await page.look_like(*size, scheme)
    for section in ("models", "playground", "requests", "usage"):
        await page.click(f"[data-section={section}]")
        await page.until(f"!document.querySelector('#{section}').hidden")
        await page.screenshot(SCREENSHOTS / f"{section}-{kind}-{scheme}.png")
        assert await page.run("document.documentElement.scrollWidth") <= size[0], section
    for selector in ("body", "dt", "#health", ".state"):
        assert await page.run(CONTRAST.replace("SELECTOR", selector)) >= 4.5, selector


# WCAG 2.2's contrast of an element's text and what is behind it; 4.5 is asked for text of this size.
CONTRAST = """(() => {
  const light = (text) => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  let behind = document.querySelector('SELECTOR');
  const ink = light(getComputedStyle(behind).color);
  while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
  const paper = light(getComputedStyle(behind).backgroundColor);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
})()"""


def png() -> bytes:
    """One blue dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0\0\xff")) + chunk(b"IEND", b"")
