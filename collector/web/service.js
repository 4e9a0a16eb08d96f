// How well services and sites are, were, and will be.

import { ask, back, clock, el, entityLink, mark, pairs, panel, plural, section, start, status, time } from "/tools.js";

const MARKS = { normal: "ok", info: "ok", low: "info", medium: "warning", high: "error", critical: "fatal" };
const NS = "http://www.w3.org/2000/svg";

const round = (n) => String(Math.round(n));
const hashOfService = (s) => `#/service/${s.kind}/${encodeURIComponent(s.name)}`;

export function score(s) {
  return el("li", {}, el("a", { class: "card score", href: hashOfService(s) },
    el("div", { class: "line" }, mark(MARKS[s.level] ?? "quiet", s.level), el("span", { class: "where" }, s.name), el("span", {}, s.kind)),
    el("p", { class: "points" }, round(s.score), el("span", {}, " of 100")),
    s.why.length ? el("p", { class: "sub" }, start(s.why[0])) : null,
    s.ahead && Math.round(s.ahead.score) !== Math.round(s.score) ? el("p", { class: "sub" }, `in half an hour ${round(s.ahead.score)}`) : null));
}

export async function services() {
  const [[s, steady], { services: all }] = await Promise.all([status(), ask("/api/v1/services")]);
  const list = (kind, none) => {
    const own = all.filter((r) => r.kind === kind).sort((a, b) => a.score - b.score || a.name.localeCompare(b.name));
    return own.length ? el("ul", { class: "scores" }, ...own.slice(0, 200).map(score)) : el("p", { class: "empty" }, none);
  };
  const draw = () => [back(), el("div", { class: "hero" }, el("h1", {}, "Services"), el("p", {}, "How well everything is, from 0 to 100")),
    section("Services", null, list("service", "None is declared: [[service]] in the topology file makes one.")),
    section("Sites", null, list("site", "No site has reported yet."))];
  return { status: s, key: [steady, all], draw, title: "Services: Fieldmouse" };
}

function svg(name, attributes, ...children) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// A day of scores, and half an hour ahead.
function plot(r, width) {
  const height = 220;
  const [left, right, top, bottom] = [38, 10, 12, 26];
  const from = Math.max(r.past[0]?.at_ms ?? r.now_ms, r.now_ms - 86400000);
  const to = Math.max(r.ahead?.at_ms ?? r.now_ms, from + 3600000);
  const x = (t) => left + ((Math.min(Math.max(t, from), to) - from) / (to - from)) * (width - left - right);
  const y = (v) => height - bottom - (v / 100) * (height - top - bottom);
  const root = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": `Score of the last day, now ${round(r.score)}` });
  for (const v of [0, 50, 100]) {
    root.append(svg("line", { class: "grid-line", x1: left, x2: width - right, y1: y(v), y2: y(v) }));
    root.append(svg("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, String(v)));
  }
  const word = (t) => new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false }).format(t);
  root.append(svg("text", { x: left, y: height - 6 }, word(from)));
  if (x(r.now_ms) > left + 90) root.append(svg("text", { x: x(r.now_ms), y: height - 6, "text-anchor": "end" }, "now"));
  let path = "";
  let last = null;
  for (const p of r.past) {
    path += last === null ? `M${x(p.at_ms).toFixed(1)} ${y(p.score).toFixed(1)}` : `L${x(p.at_ms).toFixed(1)} ${y(last).toFixed(1)}V${y(p.score).toFixed(1)}`;
    last = p.score;
  }
  if (last !== null) path += `H${x(r.now_ms).toFixed(1)}`;
  if (r.ahead) {
    const [a, b] = [x(r.now_ms), x(r.ahead.at_ms)];
    root.append(svg("path", { class: "band", d: `M${a} ${y(r.score)}L${b} ${y(r.ahead.high)}V${y(r.ahead.low)}Z` }));
    root.append(svg("line", { class: "expected", x1: a, y1: y(r.score), x2: b, y2: y(r.ahead.score) }));
  }
  root.append(svg("path", { class: "data", d: path }));
  return root;
}

function figure(r) {
  const node = el("figure");
  let width = 0;
  new ResizeObserver(() => {
    const wanted = Math.round(node.clientWidth);
    if (wanted < 1 || wanted === width) return;
    width = wanted;
    node.replaceChildren(plot(r, width));
  }).observe(node);
  return node;
}

function kpi(k, kind) {
  const own = k.entities.map((e) => el("li", {}, mark(MARKS[e.level] ?? "quiet", e.level), " ", entityLink(e.entity), el("span", { class: "sub" }, e.text)));
  return el("li", {}, el("div", { class: "label" }, el("span", {}, kind === "site" ? entityLink(k.name) : k.name), el("span", { class: "share" }, mark(MARKS[k.level] ?? "quiet", k.level), k.score === null ? "" : ` ${round(k.score)}`)),
    el("div", { class: "sub" }, `importance ${k.importance} of 11`), own.length && kind !== "site" ? el("ul", { class: "list" }, ...own) : own.length ? el("div", { class: "sub" }, k.entities[0].text) : null);
}

export async function service(kind, encoded) {
  const name = decodeURIComponent(encoded);
  const [[s, steady], r] = await Promise.all([status(), ask(`/api/v1/services/${encodeURIComponent(kind)}/${encodeURIComponent(name)}`)]);
  const minute = Math.floor(r.now_ms / 60000);
  const a = r.ahead;
  const draw = () => [el("article", { class: "detail" }, back("#/services", "Services"),
    el("div", { class: "chips" }, mark(MARKS[r.level] ?? "quiet", r.level), el("span", {}, r.kind), el("span", {}, "so for ", time(r.at_ms, "span"))),
    el("h1", {}, `${r.name}: ${round(r.score)} of 100`),
    el("div", { class: "grid" },
      el("div", { class: "stack" },
        panel("The last day", figure(r)),
        panel(r.kind === "site" ? "Devices that are not well" : "What it is made of", r.kpis.length ? el("ol", { class: "bars" }, ...r.kpis.map((k) => kpi(k, r.kind))) : el("p", { class: "count" }, `All ${plural(r.of, r.kind === "site" ? "device" : "part")} are well.`))),
      el("div", { class: "stack" },
        panel("Why", r.why.length ? el("ul", { class: "list" }, ...r.why.map((w) => el("li", {}, start(w)))) : el("p", { class: "count" }, "Nothing is wrong.")),
        panel("In half an hour", a ? pairs("facts", ["Score", round(a.score)], ["Between", `${round(a.low)} and ${round(a.high)}`], ["At", clock(a.at_ms)],
          ["Off so far by", `${a.error.mean.toFixed(1)} on average`], ["“It stays so”", `${a.error.staying.toFixed(1)}`], ["Tried", plural(a.error.count, "time")])
          : el("p", { class: "count" }, "Its past is too short: two and a half hours are needed.")),
        panel("How much it matters", pairs("facts", ["Importance", `${r.importance} of 11`], ["Made of", plural(r.of, r.kind === "site" ? "device" : "part")])))))];
  return { status: s, key: [steady, r.score, r.kpis, r.why, r.ahead, r.past, minute], draw, title: `${r.name}: Fieldmouse` };
}
