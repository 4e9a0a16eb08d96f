// The page. It asks the collector every two seconds and shows what it says. All text goes in as text, never as markup.

import { incident, incidentCard, incidents } from "/incident.js";
import { people, spending } from "/people.js";
import { legend, plot } from "/plot.js";
import { score, service, services } from "/service.js";
import { ago, ask, clock, el, mark, now, pairs, panel, plural, quantity, refreshTimes, section, setSkew, span, start, time } from "/tools.js";
import { entity, topology } from "/topology.js";

const EVERY_MS = 2000;
const main = document.getElementById("main");
let shown = "";
let answeredMs = 0;
let skewMs = 0;

// ---- overview ----

const hashOf = (e) => `#/episode/${[e.site, e.node, e.epoch, e.id].map(encodeURIComponent).join("/")}`;
const hashOfDevice = (d) => `#/device/${encodeURIComponent(d.site)}/${encodeURIComponent(d.node)}`;

function episodeCard(e) {
  const open = e.state === "open";
  const line = el("div", { class: "line" }, mark(open ? e.severity : "quiet", open ? e.severity : "closed"), el("span", { class: "where" }, e.node), el("span", {}, e.site));
  const when = open
    ? el("span", {}, "for ", time(e.onset_ms, "span"))
    : el("span", {}, "ended ", time(e.closed_ms), `, lasted ${span(e.closed_ms - e.onset_ms)}`);
  const tail = el("div", { class: "line" }, when, el("span", {}, e.shape), el("span", {}, `${plural(e.moved, "series", "series")} moved`));
  return el("li", {}, el("a", { class: open ? "episode card" : "episode", href: hashOf(e) }, line, el("p", { class: "sentence" }, start(e.sentence)), tail));
}

function stateOf(d) {
  // Two and a half beats at the usual pace: what is silent for longer is not told by its last word alone.
  if (d.state === "online" && now() - (d.seen_ms ?? 0) > 750000) return mark("warning", "silent");
  if (d.state === "online") return mark("ok", "online");
  if (d.state === "lost") return mark("error", "lost");
  return mark("quiet", d.state);
}

function deviceRow(d) {
  const cell = (label, content, cls) => el("td", { "data-label": label, class: cls }, ...[content].flat());
  const missing = d.missing > 0;
  return el("tr", {},
    el("td", {}, el("a", { class: "name", href: hashOfDevice(d) }, d.node), el("span", { class: "sub" }, [d.site, d.os].filter(Boolean).join(" · "))),
    cell("State", stateOf(d)),
    cell("Last seen", time(d.seen_ms)),
    cell("Series", [d.series_count.toLocaleString("en"), d.beat?.no_data ? el("span", { class: "sub" }, `${d.beat.no_data} without data`) : null], "num"),
    cell("Waiting", [d.beat ? d.beat.waiting.toLocaleString("en") : "–", d.beat?.outbox_in_memory ? el("span", { class: "sub" }, "in memory only") : null], "num"),
    cell("Lost", d.lost.toLocaleString("en"), d.lost > 0 ? "num bad" : "num"),
    cell("Missing", d.missing.toLocaleString("en"), missing ? "num bad" : "num"),
    cell("Version", d.version || "–"),
    cell("Model", d.model ? [d.model.name, el("span", { class: "sub mono" }, d.model.hash.slice(0, 8))] : "robust scorer"),
  );
}

function devicesTable(devices) {
  const heads = [["Device"], ["State"], ["Last seen"], ["Series", "num"], ["Waiting", "num", "Events in the device's outbox"], ["Lost", "num", "Events the device declared lost"], ["Missing", "num", "Event numbers that have not arrived yet"], ["Version"], ["Model"]];
  return el("div", { class: "card" }, el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map(([word, cls, title]) => el("th", { scope: "col", class: cls, title }, word)))),
    el("tbody", {}, ...devices.map(deviceRow))));
}

function headline(status, devices, open) {
  const reachable = devices.filter((d) => d.state === "online").length;
  const gone = devices.filter((d) => d.state === "lost").length;
  const count = (n) => ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"][n] ?? n;
  const things = (n, one, many) => `${count(n)} ${n === 1 ? one : many}.`;
  const title = devices.length === 0 ? "Listening."
    : open ? things(open, "thing needs a look", "things need a look")
    : gone ? things(gone, "device is lost", "devices are lost") : "All quiet.";
  const parts = [`${reachable} of ${plural(devices.length, "device")} online`];
  if (gone) parts.push(`${gone} lost`);
  parts.push(plural(open, "open incident"), plural(status.episodes.open, "open episode"), spending(status.budget).toLowerCase());
  return el("div", { class: "hero" }, el("h1", {}, title), devices.length ? el("p", {}, parts.join(" · ")) : null);
}

function note(n) {
  const fact = n.kind !== undefined;
  const what = fact ? n.kind : n.verdict;
  const about = fact ? "" : (n.series ?? n.source ?? "");
  return el("li", {}, time(n.happened_ms ?? n.at_ms), el("div", {},
    el("div", { class: "text" }, mark(fact ? n.severity : n.verdict === "good" ? "ok" : "warning", what), " ", n.text || about),
    n.example ? el("div", { class: "sub mono" }, n.example) : null,
    el("div", { class: "sub" }, [n.node, n.site, n.text ? about : "", n.why, n.count > 1 ? plural(n.count, "time") : ""].filter(Boolean).join(" · "))));
}

function forecast(f) {
  return el("li", {}, time(f.told_ms), el("div", {},
    el("div", { class: "text" }, mark(f.severity, f.severity), " ", f.sentence),
    el("div", { class: "sub" }, `${f.node} · ${f.site} · ${f.series}, now ${quantity(f.level, f.unit)}`)));
}

async function overview() {
  const [status, { devices }, open, { incidents: wrong }, { incidents: closed }, { services: health }, { facts }, { troubles }, { forecasts }] = await Promise.all([
    ask("/api/v1/status"), ask("/api/v1/devices"), ask("/api/v1/episodes?state=open&limit=50"),
    ask("/api/v1/incidents?state=open&limit=50"), ask("/api/v1/incidents?state=closed&limit=8"), ask("/api/v1/services"),
    ask("/api/v1/facts?limit=8"), ask("/api/v1/troubles?limit=8"), ask("/api/v1/forecasts?state=open&limit=50"),
  ]);
  wrong.sort((a, b) => a.priority - b.priority || b.onset_ms - a.onset_ms);
  forecasts.sort((a, b) => a.expected_ms - b.expected_ms);
  const { now_ms: _now, ...steady } = status;
  const notes = [...facts, ...troubles].sort((a, b) => b.at_ms - a.at_ms).slice(0, 8);
  const draw = () => {
    const parts = [headline(status, devices, wrong.length)];
    if (devices.length === 0) {
      parts.push(el("p", { class: "empty" }, el("strong", {}, "No device has reported yet."), "Point an agent at ", el("code", {}, status.broker), ` with the root “${status.root}”, and it appears here within seconds.`));
      return parts;
    }
    if (wrong.length) parts.push(section("Open now", null, el("ul", { class: "episodes" }, ...wrong.map((i) => incidentCard(i)))));
    if (health.length) parts.push(section("Services and sites", null, el("ul", { class: "scores" }, ...health.slice(0, 12).map(score))));
    if (open.episodes.length) parts.push(el("section", {}, el("details", {}, el("summary", {}, plural(open.episodes.length, "open episode")), el("ul", { class: "episodes small card" }, ...open.episodes.map(episodeCard)))));
    if (forecasts.length) parts.push(section("Running out", String(forecasts.length), el("ul", { class: "notes card" }, ...forecasts.map(forecast))));
    parts.push(section("Devices", String(devices.length), devicesTable(devices)));
    parts.push(section("Recently over", null, closed.length
      ? el("ul", { class: "episodes small card" }, ...closed.map((i) => incidentCard(i)))
      : el("p", { class: "empty" }, "No incident is over yet.")));
    if (notes.length) parts.push(section("Also told", null, el("ul", { class: "notes card" }, ...notes.map(note))));
    return parts;
  };
  return { status, key: [steady, devices, open, wrong, closed, health, notes, forecasts], draw, title: wrong.length ? `(${wrong.length}) Fieldmouse` : "Fieldmouse" };
}

// ---- one episode ----


function figures(first) {
  const figure = (word, value, cls) => el("div", { class: cls }, el("dt", {}, word), el("dd", {}, value));
  return el("dl", { class: "figures" },
    figure("Read", quantity(first.actual, first.unit), "actual"),
    figure("Expected", quantity(first.expected, first.unit)),
    figure("Usual", `${quantity(first.low, first.unit)} – ${quantity(first.high, first.unit)}`));
}

function contributors(list) {
  return el("ol", { class: "bars" }, ...list.map((c) => {
    const bar = el("i");
    bar.style.width = `${Math.min(c.share, 100)}%`;
    return el("li", {},
      el("div", { class: "label" }, el("span", { class: "mono" }, c.series), el("span", { class: "share" }, `${c.share} %`)),
      el("div", { class: "bar", "aria-hidden": "true" }, bar),
      el("div", { class: "sub" }, `${quantity(c.actual, c.unit)} where ${quantity(c.low, c.unit)} to ${quantity(c.high, c.unit)} is usual`));
  }));
}

function timeline(e) {
  const item = (cls, word, ms, sub) => el("li", { class: cls }, word, " ", time(ms, "clock"), sub ? el("span", { class: "sub" }, sub) : null);
  const rows = [item("onset", "Began", e.onset_ms, "as estimated by the device")];
  for (const p of e.phases) rows.push(item("", start(p.phase), p.at_ms, `${plural(p.moved, "series", "series")} moved, surprise ${p.score?.toFixed(2) ?? "unknown"}`));
  if (e.state === "open") rows.push(el("li", { class: "now" }, "Still open"));
  else if (!e.end_told) rows.push(item("now", "Taken as over", e.closed_ms, "the device began anew without saying so"));
  return el("ol", { class: "timeline" }, ...rows);
}

function sparkFigure(spark) {
  const figure = el("figure");
  const caption = el("figcaption", { class: "legend" }, ...legend().map(([sample, word]) => el("span", {}, sample, word)));
  let width = 0;
  const draw = () => {
    const wanted = Math.round(figure.clientWidth);
    if (wanted < 1 || wanted === width) return;
    width = wanted;
    figure.replaceChildren(plot(spark, width, quantity), caption);
  };
  new ResizeObserver(draw).observe(figure);
  return figure;
}

// What the device read around an episode is fetched when somebody wants it.
function capsule(url) {
  const told = el("p", { class: "count" }, "What the device read around it, for “fieldmouse replay --capsule”.");
  const link = el("a", { href: url }, "Fetch it from the device");
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    const answer = await fetch(url).catch(() => null);
    if (answer?.status === 200) return location.assign(url);
    const body = await answer?.json().catch(() => null);
    const under = answer?.status === 202;
    told.textContent = !body ? "The collector does not answer."
      : !under ? `${start(body.error)}.`
      : body.of ? `${quantity(body.have, "By")} of ${quantity(body.of, "By")} are here.` : "The device was asked.";
    if (under) setTimeout(() => link.isConnected && link.click(), EVERY_MS);
  });
  return panel("Capsule", told, link);
}

async function episode(parts) {
  const path = parts.map((p) => encodeURIComponent(decodeURIComponent(p))).join("/");
  const [status, e] = await Promise.all([ask("/api/v1/status"), ask(`/api/v1/episodes/${path}`)]);
  const { now_ms: _now, ...steady } = status;
  const open = e.state === "open";
  const first = e.contributors[0];
  const draw = () => [el("article", { class: "detail" },
    el("a", { class: "back", href: "#/" }, "← Overview"),
    el("div", { class: "chips" }, mark(open ? e.severity : "quiet", open ? e.severity : "closed"), el("a", { class: "name", href: hashOfDevice(e) }, e.node), el("span", {}, e.site),
      el("span", {}, open ? "open for " : "lasted ", open ? time(e.onset_ms, "span") : span(e.closed_ms - e.onset_ms))),
    el("h1", {}, start(e.sentence)),
    el("div", { class: "grid" },
      el("div", { class: "stack" },
        first ? panel("How much", figures(first), e.spark ? sparkFigure(e.spark) : el("p", { class: "count" }, "The device sent no plot with it.")) : null,
        e.contributors.length ? panel("What moved", contributors(e.contributors)) : null),
      el("div", { class: "stack" },
        panel("When", timeline(e)),
        e.culprit ? panel("Who was at work", pairs("facts",
          ["Process", e.culprit.name], e.culprit.pid ? ["Number", String(e.culprit.pid)] : null,
          e.culprit.count > 1 ? ["How many", String(e.culprit.count)] : null, ["Its part", quantity(e.culprit.amount, e.culprit.unit)])) : null,
        e.near.length ? panel("What happened near it", el("ul", { class: "list" }, ...e.near.map((n) => el("li", {}, n.text,
          el("span", { class: "sub" }, `${n.kind}, ${span(Math.abs(n.before_ms))} ${n.before_ms < 0 ? "after it began" : "before it began"}`))))) : null,
        e.without ? panel("What if not", el("p", {}, `Judged once more without ${e.without.omitted === "culprit" ? "what this process used" : "the first series' deviation"}, the surprise is ${e.without.without.toFixed(2)}, not ${e.without.score.toFixed(2)} (0.50 is the threshold).`)) : null,
        panel("How it was judged", pairs("facts",
          ["Shape", e.shape], ["Part", e.group], ["Surprise", `${e.score.toFixed(2)} (0.50 is the threshold)`], ["Confidence", `${e.confidence} %`],
          ["Series moved", String(e.moved)], e.recurred ? ["Came back", plural(e.recurred, "time")] : null,
          ["Model", e.model ? el("span", { class: "mono" }, e.model) : "robust scorer"])),
        capsule(`/api/v1/episodes/${path}/capsule`)))
  )];
  return { status, key: [steady, e], draw, title: `${e.node}: ${e.sentence}` };
}

// ---- one device ----

function lossItem(l) {
  const late = l.arrived ? el("span", { class: "sub" }, `${plural(l.arrived, "number")} of ${l.count.toLocaleString("en")} had arrived or came after all`) : null;
  return el("li", {}, `${plural(l.count - l.arrived, "event")} lost: ${l.reason}`, el("span", { class: "sub" }, `from number ${l.first.toLocaleString("en")}, told `, time(l.declared_ms)), late);
}

function gapItem(g, d) {
  const range = g.first === g.last ? `Number ${g.first}` : `Numbers ${g.first} to ${g.last}`;
  const n = g.last - g.first + 1;
  return el("li", {}, `${range} ${n === 1 ? "has" : "have"} not arrived`, g.epoch === d.epoch ? null : el("span", { class: "sub" }, "of an outbox the device no longer has"));
}

async function device(parts) {
  const [site, node] = parts.map((p) => encodeURIComponent(decodeURIComponent(p)));
  const [status, d, { episodes }, { forecasts }] = await Promise.all([
    ask("/api/v1/status"), ask(`/api/v1/devices/${site}/${node}`), ask(`/api/v1/episodes?node=${node}&limit=20`),
    ask(`/api/v1/forecasts?state=open&node=${node}&limit=50`)]);
  const { now_ms: _now, ...steady } = status;
  const own = episodes.filter((e) => e.site === d.site);
  const expected = forecasts.filter((f) => f.site === d.site).sort((a, b) => a.expected_ms - b.expected_ms);
  const b = d.beat;
  const labels = Object.entries(d.labels).map(([k, v]) => `${k}=${v}`).join(", ");
  const items = (list, none) => (list.length ? el("ul", { class: "list" }, ...list) : el("p", { class: "count" }, none));
  const draw = () => [el("article", { class: "detail" },
    el("a", { class: "back", href: "#/" }, "← Overview"),
    el("div", { class: "chips" }, stateOf(d), el("span", {}, d.site), el("span", {}, "last seen ", time(d.seen_ms))),
    el("h1", {}, d.node),
    el("div", { class: "grid" },
      el("div", { class: "stack" },
        panel("What depends on what", el("p", {}, el("a", { href: `#/entity/${encodeURIComponent(`${d.site}/${d.node}`)}` }, "What it depends on, and what depends on it"))),
        panel("Episodes", own.length ? el("ul", { class: "episodes small" }, ...own.map(episodeCard)) : el("p", { class: "count" }, "None is known.")),
        expected.length ? panel("Running out", el("ul", { class: "notes" }, ...expected.map(forecast))) : null,
        panel("Lost", items(d.losses.map(lossItem), "The device has lost no event.")),
        panel("Missing", items(d.gaps.map((g) => gapItem(g, d)), "Every number up to the highest has arrived.")),
        d.edges.length ? panel("Who calls whom", el("ul", { class: "list" }, ...d.edges.map((edge) => el("li", { class: "mono" }, `${edge.from} → ${edge.to}`)))) : null,
        d.series.length ? el("div", { class: "card panel" }, el("details", {}, el("summary", {}, plural(d.series.length, "series", "series")), el("ul", { class: "list" }, ...d.series.map((s) => el("li", { class: "mono" }, s))))) : null),
      el("div", { class: "stack" },
        panel("What it is", pairs("facts",
          ["Agent", d.version || "unknown"], ["System", d.os || "unknown"], ["Platform", d.platform || "unknown"], ["Host", d.host || "unknown"],
          ["Processors", String(d.cpus)], ["Memory", quantity(d.memory_bytes, "By")], labels ? ["Labels", labels] : null,
          ["Model", d.model ? d.model.name : "robust scorer"], d.model ? ["Hash", el("span", { class: "mono" }, d.model.hash)] : null)),
        b ? panel("How it is", pairs("facts",
          ["Told", time(b.at_ms)], ["Running for", span(b.uptime_s * 1000)], ["Waiting to be sent", plural(b.waiting, "event")],
          ["Outbox", b.outbox_in_memory ? "in memory only" : quantity(b.outbox_bytes, "By")], ["Judged by", b.model_off ? "robust scorer, the model is off" : "as above"],
          ["Series without data", `${b.no_data} of ${b.series}`], ["Processor", `${+(b.cpu_us_per_s / 10000).toPrecision(2)} % of a core`],
          ["Memory in use", quantity(b.rss_kib * 1024, "By")], ["Late ticks", b.late_ticks.toLocaleString("en")])) : null)))];
  return { status, key: [steady, d, own, expected], draw, title: `${d.node}: Fieldmouse` };
}

// ---- going round ----

function view() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);
  if (parts[0] === "episode" && parts.length === 5) return () => episode(parts.slice(1));
  if (parts[0] === "device" && parts.length === 3) return () => device(parts.slice(1));
  if (parts[0] === "incidents") return incidents;
  if (parts[0] === "incident" && parts.length === 2) return () => incident(parts[1], refresh);
  if (parts[0] === "people") return () => people(refresh);
  if (parts[0] === "topology") return () => topology(parts[1]);
  if (parts[0] === "entity" && parts.length === 2) return () => entity(parts[1], refresh);
  if (parts[0] === "services") return services;
  if (parts[0] === "service" && parts.length === 3) return () => service(parts[1], parts[2]);
  return overview;
}

function banner(text) {
  const node = document.getElementById("banner");
  node.hidden = !text;
  if (node.textContent !== text) node.textContent = text;
}

function live(ok, text) {
  document.getElementById("live").classList.toggle("off", !ok);
  const node = document.getElementById("live-text");
  if (node.textContent !== text) node.textContent = text;
}

function footer(s) {
  document.getElementById("foot").replaceChildren(
    el("span", {}, `Collector “${s.id}”, version ${s.version}`), el("span", {}, `broker ${s.broker}`), el("span", {}, `${s.events_stored.toLocaleString("en")} events stored`),
    ...(s.dead_letters ? [el("span", {}, el("a", { href: "/api/v1/dead-letters" }, plural(s.dead_letters, "unreadable message")))] : []),
    el("a", { href: "/openapi.json" }, "API"), el("a", { href: "/metrics" }, "Metrics"));
}

// Replaces the content, and keeps the keyboard where it was.
function replace(nodes) {
  const at = document.activeElement;
  const [id, href] = main.contains(at) ? [at.id, at.getAttribute("href")] : [];
  const marked = id && at.tagName === "INPUT" && at.type === "text" ? [at.selectionStart, at.selectionEnd] : null;
  main.replaceChildren(...nodes);
  const again = id ? document.getElementById(id) : href ? [...main.querySelectorAll("a")].find((a) => a.getAttribute("href") === href) : null;
  again?.focus({ preventScroll: true });
  if (again && marked) again.setSelectionRange(...marked);
}

// `anew`: also if the collector says the same as before.
async function refresh(anew = false) {
  if (anew) shown = "";
  const asked = location.hash;
  try {
    const found = await view()();
    if (asked !== location.hash) return;
    const s = found.status;
    skewMs = s.now_ms - Date.now();
    setSkew(skewMs);
    answeredMs = Date.now();
    const key = JSON.stringify([asked, found.key]);
    if (key !== shown) {
      replace(found.draw());
      footer(s);
      shown = key;
    }
    document.title = found.title;
    const since = s.connection_changed_ms ? ` since ${clock(s.connection_changed_ms)}` : "";
    const held = s.quarantined.map((q) => `${q.site}/${q.node}`);
    banner(s.store_failing ? `The database takes nothing: devices keep their events until it does. ${s.store_error ?? ""}`
      : !s.connected ? `Not connected to the broker ${s.broker}${since}: nothing new can arrive.`
      : held.length ? `In quarantine because of too many events: ${held.slice(0, 5).join(", ")}${held.length > 5 ? ` and ${held.length - 5} more` : ""}. What they have to tell stays with them.` : "");
    live(s.connected && !s.store_failing, s.connected ? "Live" : "No broker");
  } catch (error) {
    if (asked !== location.hash) return;
    if (error.status === 404) {
      shown = "";
      replace([el("a", { class: "back", href: "#/" }, "← Overview"), el("p", { class: "empty" }, el("strong", {}, "There is nothing here."), "It may be older than what the collector keeps.")]);
      return;
    }
    const since = answeredMs ? ` What you see is from ${clock(answeredMs + skewMs)}.` : "";
    banner(error.status === 503 ? `The database does not answer: devices keep their events until it does. ${error.message}`
      : error.status ? `The collector cannot answer: ${error.message}` : `The collector does not answer.${since}`);
    live(false, "No answer");
  }
}

async function round() {
  if (!document.hidden) await refresh();
  setTimeout(round, EVERY_MS);
}

addEventListener("hashchange", async () => {
  await refresh();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
});
document.addEventListener("visibilitychange", () => document.hidden || refresh());
setInterval(refreshTimes, 1000);
round();
