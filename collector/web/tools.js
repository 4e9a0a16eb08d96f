// What every view is made of. All text goes in as text, never as markup.

let skewMs = 0;
export const setSkew = (ms) => { skewMs = ms; };

export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(key, value);
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

export const now = () => Date.now() + skewMs;

export async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.error ?? answer.statusText), { status: answer.status });
  return body;
}

// Says something to the collector. `text` is what it answers when it will not have it.
export async function tell(method, path, body) {
  const answer = await fetch(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) }).catch(() => null);
  const said = await answer?.json().catch(() => null);
  return { ok: Boolean(answer?.ok), said, text: said?.error ?? "the collector does not answer" };
}

export function quantity(value, unit) {
  if (value === null || value === undefined) return "unknown";
  const scaled = (names, by) => {
    let [v, i] = [value, 0];
    while (Math.abs(v) >= by && i + 1 < names.length) [v, i] = [v / by, i + 1];
    return `${+v.toPrecision(3)} ${names[i]}`;
  };
  const plain = (v) => (Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en") : String(+v.toPrecision(3)));
  switch (unit) {
    case "1": return `${+(value * 100).toPrecision(3)} %`;
    case "By": return scaled(["B", "kB", "MB", "GB", "TB"], 1000);
    case "By/s": return scaled(["B/s", "kB/s", "MB/s", "GB/s"], 1000);
    case "Cel": return `${value.toFixed(1)} °C`;
    case "s": return Math.abs(value) < 1 ? `${+(value * 1000).toPrecision(3)} ms` : `${plain(value)} s`;
    case "{cpu}": return `${+value.toPrecision(2)} ${value === 1 ? "core" : "cores"}`;
    default: return `${plain(value)} ${unit.replace(/[{}]/g, "").replace(/_/g, " ")}`.trim();
  }
}

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const ago = (ms) => (now() - ms < 3000 ? "just now" : `${span(now() - ms)} ago`);

export function clock(ms) {
  const today = new Date(now()).toDateString() === new Date(ms).toDateString();
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  return new Intl.DateTimeFormat(undefined, today ? options : { ...options, day: "numeric", month: "short" }).format(ms);
}

// A time that keeps itself up to date.
export function time(ms, form = "ago") {
  if (!ms) return document.createTextNode("never");
  const node = el("time", { datetime: new Date(ms).toISOString(), title: new Date(ms).toString(), "data-ms": ms, "data-form": form });
  node.textContent = { ago, span: (t) => span(now() - t), clock }[form](ms);
  return node;
}

export function refreshTimes() {
  for (const node of document.querySelectorAll("time[data-ms]")) {
    const ms = Number(node.dataset.ms);
    const text = { ago, span: (t) => span(now() - t), clock }[node.dataset.form](ms);
    if (node.textContent !== text) node.textContent = text;
  }
}

export const plural = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

const SHAPES = {
  fatal: "M4 1h6l3 3v6l-3 3H4l-3-3V4z",
  error: "M4 1h6l3 3v6l-3 3H4l-3-3V4z",
  warning: "M7 1l6.5 12H.5z",
  info: "M7 1a6 6 0 1 0 0 12A6 6 0 0 0 7 1z",
  debug: "M7 1a6 6 0 1 0 0 12A6 6 0 0 0 7 1z",
  ok: "M7 1a6 6 0 1 0 0 12A6 6 0 0 0 7 1zm-1 9L3 7l1.2-1.2L6 7.6l3.8-3.8L11 5z",
  quiet: "M7 1a6 6 0 1 0 0 12A6 6 0 0 0 7 1zm0 2a4 4 0 1 1 0 8 4 4 0 0 1 0-8z",
};

export function mark(kind, word) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 14 14");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[kind] ?? SHAPES.quiet);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return el("span", { class: `sev ${kind}` }, svg, word);
}

export function section(title, count, ...content) {
  return el("section", {}, el("header", {}, el("h2", {}, title), count ? el("span", { class: "count" }, count) : null), ...content);
}

// Names of things stay as they are.
export const start = (text) => (/^\S*[/#]/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1));
export const panel = (title, ...content) => el("div", { class: "card panel" }, el("h2", {}, title), ...content);
export const pairs = (cls, ...rows) => el("dl", { class: cls }, ...rows.filter(Boolean).flatMap(([word, value]) => [el("dt", {}, word), el("dd", {}, value)]));
export const back = (href = "#/", word = "Overview") => el("a", { class: "back", href }, `← ${word}`);
export const entityLink = (name) => el("a", { class: "name", href: `#/entity/${encodeURIComponent(name)}` }, name);

// The status of the collector, and what of it says nothing about time.
export async function status() {
  const found = await ask("/api/v1/status");
  const { now_ms: _now, ...steady } = found;
  return [found, steady];
}
