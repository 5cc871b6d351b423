// The page at /ui. Whatever comes from servers or people is written as text, never as markup: only textContent.

const POLL_MS = 2000;
const TREND_POINTS = 90;
const METRICS = {
  "vllm:num_requests_running": "running",
  "vllm:num_requests_waiting": "waiting",
  "vllm:kv_cache_usage_perc": "cache",
  "vllm:generation_tokens_total": "generated",
  "vllm:prompt_tokens_total": "read",
};

const $ = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

// --- asking the gateway

class KeyNeeded extends Error {}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  if (answer.status === 401) throw new KeyNeeded();
  return answer;
}

function askForKey() {
  $("key-form").hidden = false;
  $("health").textContent = "A key is needed.";
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", $("key").value.trim());
  $("key").value = "";
  $("key-form").hidden = true;
  refresh();
});

// --- models

/** Prometheus' text to {model: {name: sum}}, of the metrics that are shown. */
export function figuresOf(text) {
  const found = {};
  for (const line of text.split("\n")) {
    const parts = /^([a-z:_]+)\{(.*)\} (\S+)$/.exec(line);
    const name = parts && METRICS[parts[1]];
    const model = name && /(?:^|,)model="([^"]*)"/.exec(parts[2]);
    if (!model) continue;
    const figures = (found[model[1]] ??= {});
    figures[name] = (figures[name] ?? 0) + Number(parts[3]);
  }
  return found;
}

const past = new Map(); // model -> {at, generated, read, rates}

function ratesOf(model, now, figures) {
  const before = past.get(model);
  const rates = before?.rates ?? [];
  let read = null;
  if (before && figures && now > before.at && figures.generated >= before.generated) {
    const seconds = (now - before.at) / 1000;
    rates.push((figures.generated - before.generated) / seconds);
    read = (figures.read - before.read) / seconds;
    if (rates.length > TREND_POINTS) rates.shift();
  }
  past.set(model, { at: now, generated: figures?.generated, read: figures?.read, rates });
  return { rates, read };
}

const number = (value, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
const seconds = (value) => (Number.isFinite(value) ? `${value.toFixed(value < 10 ? 2 : 0)} s` : "–");

function trend(rates) {
  const most = Math.max(1, ...rates);
  const points = rates.map((rate, index) => `${(index * 100) / (TREND_POINTS - 1)},${30 - (28 * rate) / most}`);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "trend");
  svg.setAttribute("viewBox", "0 0 100 31");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Tokens a second in the last minutes, at most ${number(most, 1)}`);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points.join(" "));
  svg.append(line);
  return svg;
}

function card(name, about, stats, figures, { rates, read }) {
  const rows = [
    ["Tokens a second", number(rates.at(-1), 1)],
    ["Prompt tokens a second", number(read, 1)],
    ["Running, waiting", `${number(figures?.running)}, ${number(figures?.waiting)}`],
    ["In flight here", number(stats.in_flight)],
    ["KV cache in use", figures && Number.isFinite(figures.cache) ? `${number(100 * figures.cache, 1)} %` : "–"],
    ["First byte, median and 95 %", `${seconds(stats.time_to_first_byte_s.p50)}, ${seconds(stats.time_to_first_byte_s.p95)}`],
    ["Requests, errors", `${number(stats.requests_total)}, ${number(stats.errors_total)}`],
  ];
  const list = element("dl", {}, ...rows.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]));
  const title = element("header", {}, element("h2", {}, name), element("span", { class: `state ${stats.state}` }, stats.state));
  const parts = [title, element("p", {}, about?.description ?? ""), trend(rates), list];
  if (stats.unloadable) parts.push(orderButton("Unload", `/api/models/unload/${encodeURIComponent(name)}`));
  // Without a prompt this only loads a model, as Ollama's clients know.
  if (stats.state === "stopped") parts.push(orderButton("Load", "/api/generate", { model: name, stream: false }));
  if (stats.last_error && stats.state !== "ready") parts.push(element("p", {}, stats.last_error));
  return element("article", { class: "card", "data-model": name }, ...parts);
}

/** A button that tells the gateway to do something with a model. */
function orderButton(text, path, body) {
  const button = element("button", { type: "button" }, text);
  const given = body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const answer = await ask(path, { method: "POST", ...given });
      problem(answer.ok ? "" : (await answer.json()).error);
    } catch (error) {
      if (error instanceof KeyNeeded) askForKey();
      else problem("The gateway does not answer.");
    }
    refresh();
  });
  return button;
}

const cards = { of: null, about: new Map() };

/** What /v1/models tells. It is in the access log, so it is asked only when the models are others. */
async function cardsOf(names) {
  if (cards.of !== names.join()) {
    const { data } = await ask("/v1/models").then((answer) => answer.json());
    cards.about = new Map(data.map((each) => [each.id, each]));
    cards.of = names.join();
  }
  return cards.about;
}

async function showModels() {
  const [stats, page] = await Promise.all([
    ask("/stats").then((answer) => answer.json()),
    ask("/metrics").then((answer) => answer.text()),
  ]);
  const about = await cardsOf(Object.keys(stats.models));
  const figures = figuresOf(page);
  const now = performance.now();
  const names = Object.keys(stats.models).filter((name) => about.has(name));
  $("models").replaceChildren(
    ...names.map((name) => card(name, about.get(name), stats.models[name], figures[name], ratesOf(name, now, figures[name]))),
  );
  const ready = names.filter((name) => stats.models[name].state === "ready");
  $("health").textContent = `${ready.length} of ${names.length} models ready`;
  const asked = names.filter((name) => ["ready", "stopped"].includes(stats.models[name].state)); // asked, it is loaded
  offer(asked.length ? asked : names);
}

function offer(names) {
  const select = $("model");
  if (names.join() === [...select.options].map((option) => option.value).join()) return;
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  if (names.includes(chosen)) select.value = chosen;
}

// --- playground

/** Bytes of an event stream to the data of its events, one by one. */
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split(/\r?\n\r?\n/);
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length) yield data.join("\n");
    }
  }
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name}: cannot be read.`));
    reader.readAsDataURL(file);
  });
}

async function question() {
  const text = $("question").value;
  const picture = $("picture").files[0];
  const content = picture
    ? [{ type: "text", text }, { type: "image_url", image_url: { url: await dataUrl(picture) } }]
    : text;
  const system = $("system").value.trim();
  const body = {
    model: $("model").value,
    messages: [...(system ? [{ role: "system", content: system }] : []), { role: "user", content }],
    max_tokens: Number($("max-tokens").value),
    temperature: Number($("temperature").value),
    stream: true,
    stream_options: { include_usage: true },
  };
  const tools = $("tools").value.trim();
  return tools ? { ...body, tools: JSON.parse(tools) } : body;
}

let running = null;

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

async function converse() {
  const began = performance.now();
  const shown = { first: null, last: began, tokens: null, pieces: 0, calls: [] };
  for (const id of ["answer", "calls", "figures"]) $(id).textContent = "";
  for (const id of ["calls", "thought"]) $(id).hidden = true;
  $("thought").lastElementChild.textContent = "";
  problem("");
  const body = JSON.stringify(await question());
  const answer = await ask("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
    signal: running.signal,
  });
  if (!answer.ok) {
    const said = await answer.json().catch(() => null);
    throw new Error(said?.error?.message ?? `The server answered with status ${answer.status}.`);
  }
  for await (const data of eventsOf(answer.body)) {
    if (data === "[DONE]") break;
    const event = JSON.parse(data);
    if (event.error) throw new Error(event.error.message ?? "The answer broke off.");
    shown.tokens = event.usage?.completion_tokens ?? shown.tokens;
    const delta = event.choices?.[0]?.delta;
    if (delta) show(delta, shown);
    $("figures").textContent = figuresLine(began, shown);
  }
}

function show(delta, shown) {
  const thought = delta.reasoning ?? delta.reasoning_content;
  if (thought) {
    $("thought").hidden = false;
    $("thought").lastElementChild.append(thought);
  }
  if (delta.content) $("answer").append(delta.content);
  for (const call of delta.tool_calls ?? []) {
    const known = (shown.calls[call.index ?? 0] ??= { name: "", text: "" });
    known.name += call.function?.name ?? "";
    known.text += call.function?.arguments ?? "";
  }
  if (shown.calls.length) {
    $("calls").hidden = false;
    $("calls").textContent = shown.calls.map((call) => `${call.name}(${call.text})`).join("\n");
  }
  if (thought || delta.content || delta.tool_calls) {
    shown.last = performance.now();
    shown.first ??= shown.last;
    shown.pieces += 1;
  }
}

function figuresLine(began, { first, last, tokens, pieces }) {
  if (first === null) return "";
  const known = tokens ?? pieces;
  const rate = known > 1 && last > first ? `, ${number(((known - 1) * 1000) / (last - first), 1)} tokens a second` : "";
  return `first token after ${seconds((first - began) / 1000)}${rate}, ${known} tokens`;
}

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  running?.abort();
  running = new AbortController();
  const own = running;
  $("stop").disabled = false;
  try {
    await converse();
  } catch (error) {
    if (error instanceof KeyNeeded) askForKey();
    else if (error.name !== "AbortError") problem(error.message);
  } finally {
    if (running === own) $("stop").disabled = true;
  }
});
$("stop").addEventListener("click", () => running?.abort());

// --- requests

async function showRequests() {
  const { requests } = await ask("/ui/requests").then((answer) => answer.json());
  const rows = requests.map((each) => [
    new Date(each.ended_at * 1000).toLocaleTimeString(),
    each.model ?? "–",
    each.route,
    each.error ? `${each.status} ${each.error}` : each.status,
    seconds(each.first_byte_s),
    seconds(each.duration_s),
    each.bytes,
    each.id,
  ]);
  $("request-rows").replaceChildren(...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell)))));
}

// --- usage

async function showUsage() {
  const { key, models, ...may } = await ask("/ui/usage").then((answer) => answer.json());
  const limits = Object.entries(may).filter(([, most]) => most !== null).map(([of, most]) => `${most} ${of.replaceAll("_", " ")}`);
  $("allowance").textContent = key
    ? `What ${key} used since midnight (UTC). It may use ${limits.join(", ") || "any number of requests and tokens"}.`
    : "No key was sent, so nothing is counted.";
  const rows = Object.entries(models).map(([model, used]) => [model, ...Object.values(used)]);
  $("usage-rows").replaceChildren(...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell)))));
}

// --- sections, and looking again

const SHOW = { models: showModels, playground: showModels, requests: showRequests, usage: showUsage };
let section = "models";

function select(name) {
  section = name in SHOW ? name : "models";
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.section === section));
    $(tab.dataset.section).hidden = tab.dataset.section !== section;
  }
  problem("");
  refresh();
}

let isLooking = false;

async function refresh() {
  if (isLooking || document.hidden) return;
  isLooking = true;
  try {
    await SHOW[section]();
    $("key-form").hidden = true;
  } catch (error) {
    if (error instanceof KeyNeeded) askForKey();
    else $("health").textContent = "The gateway does not answer.";
  } finally {
    isLooking = false;
  }
}

for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => {
    location.hash = tab.dataset.section;
  });
}
addEventListener("hashchange", () => select(location.hash.slice(1)));
setInterval(refresh, POLL_MS);
select(location.hash.slice(1));
