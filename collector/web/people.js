// What people say to the collector: verdicts, silences, what may be taken to belong together; and what they are told.

import { ask, back, clock, el, entityLink, mark, panel, plural, section, span, start, status, tell, time } from "/tools.js";

const HOUR_MS = 3_600_000;
// What was typed and what was answered outlive the next drawing.
const drafts = new Map();
const answers = new Map();
const busy = new Set();

function stored(word) {
  try {
    if (word === undefined) return localStorage.getItem("fieldmouse.by") ?? "";
    localStorage.setItem("fieldmouse.by", word);
  } catch { /* A browser that keeps nothing asks again. */ }
  return word ?? "";
}

function field(id, label, attributes = {}) {
  const input = el("input", { type: "text", autocomplete: "off", id, ...attributes });
  input.value = drafts.get(id) ?? (id === "by" ? stored() : "");
  input.addEventListener("input", () => drafts.set(id, input.value));
  return el("label", { for: id }, label, input);
}

function choice(id, label, ...options) {
  const select = el("select", { id }, ...options.map(([value, word]) => el("option", { value }, word)));
  select.value = drafts.get(id) ?? options[0][0];
  select.addEventListener("change", () => drafts.set(id, select.value));
  return el("label", { for: id }, label, select);
}

const value = (id) => document.getElementById(id)?.value.trim() ?? "";
const name = () => field("by", "Your name", { maxlength: "64", autocomplete: "name" });
const answer = (place) => el("p", { class: "count", role: "status" }, answers.get(place) ?? "");

// A button that says something, and what came of it beside it.
function button(id, word, place, refresh, action) {
  const node = el("button", { type: "button", id }, word);
  node.addEventListener("click", async () => {
    const by = value("by");
    answers.clear();
    if (!by) {
      answers.set(place, "Say who you are first.");
      document.getElementById("by")?.focus();
      return refresh(true);
    }
    stored(by);
    // A disabled button would lose the keyboard.
    if (busy.has(id)) return;
    busy.add(id);
    const { method, path, body, done, clear = [] } = action(by);
    const { ok, text } = await tell(method, path, { ...body, by });
    busy.delete(id);
    answers.set(place, ok ? done : start(text));
    if (ok) clear.forEach((field) => drafts.delete(field));
    await refresh(true);
  });
  return node;
}

// ---- beside an incident ----

const UNTIL = [["", "for good"], [String(24 * HOUR_MS), "for a day"], [String(7 * 24 * HOUR_MS), "for a week"], [String(30 * 24 * HOUR_MS), "for 30 days"]];

function verdict(i, v, refresh) {
  const until = v.until_ms ? [", counts until ", time(v.until_ms, "clock")] : [];
  return el("li", {}, el("strong", {}, `${v.by}: ${v.word}`), " ", time(v.at_ms), ...until,
    v.note ? el("span", { class: "sub" }, v.note) : null,
    el("span", { class: "sub" }, `judged by “${v.pattern}”${v.causes?.length ? `, cause ${v.causes[0].entity}` : ""}`),
    button(`back-${v.by}`, "Take back", i.id, refresh, () => ({ method: "DELETE", path: `/api/v1/incidents/${encodeURIComponent(i.id)}/verdict`, body: {}, done: "It is taken back." })));
}

export function opinion(i, refresh) {
  if (i.merged_into) return null;
  const path = `/api/v1/incidents/${encodeURIComponent(i.id)}/verdict`;
  const say = (word) => button(`verdict-${word.replace(" ", "-")}`, start(word), i.id, refresh, () => {
    const until = Number(value("until"));
    return { method: "POST", path, body: { word, note: value("note"), ...(until ? { until_ms: Math.round(Date.now() + until) } : {}) }, done: "It is kept. Press another to change your mind.", clear: ["note"] };
  });
  const hush = button("silence", "Silence for 2 h", i.id, refresh, () => ({
    method: "POST", path: "/api/v1/silences", body: { match: i.silence_like_it, for: "2h", why: value("note") || "seen on the page" }, done: "It is silent for two hours.", clear: ["note"] }));
  const end = (s) => button(`end-${s.id}`, "End it", i.id, refresh, () => ({ method: "DELETE", path: "/api/v1/silences", body: { id: s.id }, done: "People are told again." }));
  return panel("What do you think of it?",
    i.verdicts.length ? el("ul", { class: "list" }, ...i.verdicts.map((v) => verdict(i, v, refresh))) : null,
    i.next_time ? el("p", { class: "next" }, start(i.next_time), ".") : null,
    ...i.silences.map((s) => el("p", { class: "next" }, mark("quiet", "silenced"), ` by ${s.by} until `, time(s.until_ms, "clock"), ` (${s.text}): ${s.why} `, end(s))),
    el("div", { class: "edit" }, name(), field("note", "Why (if you like)", { maxlength: "1000" }), choice("until", "Your verdict counts", ...UNTIL),
      el("div", { class: "buttons" }, say("real"), say("not useful"), say("expected")),
      i.state === "open" && !i.silences.length ? el("div", { class: "buttons" }, hush) : null, answer(i.id)));
}

export function similar(i) {
  if (!i.similar.length) return null;
  const row = (s) => el("li", {}, el("a", { class: "name", href: `#/incident/${encodeURIComponent(s.id)}` }, start(s.title || s.id)),
    el("span", { class: "sub" }, `${Math.round(100 * s.alike)} % alike, `, time(s.onset_ms, "clock"), s.closed_ms ? `, lasted ${span(s.closed_ms - s.onset_ms)}` : ", goes on", `, priority ${s.priority}`),
    el("span", { class: "sub" }, `both have: ${s.shared.join(", ")}`),
    s.thought.length || s.runbook ? el("span", { class: "sub" }, [...s.thought, s.runbook ? `what to do: ${s.runbook}` : ""].filter(Boolean).join("; ")) : null);
  return panel("Like it before", el("ul", { class: "list" }, ...i.similar.map(row)));
}

// The text for chats and tickets: the very one that outlets send.
const texts = new Map();

export async function statement(i) {
  const answer = await fetch(`/api/v1/incidents/${encodeURIComponent(i.id)}/statement`).catch(() => null);
  if (answer?.ok) texts.set(i.id, await answer.text());
  return texts.get(i.id) ?? "";
}

export function statementPanel(i, text, refresh) {
  if (!text) return null;
  const pre = el("pre", { class: "statement", tabindex: "0", "aria-label": "The incident in one text" }, text);
  const copy = el("button", { type: "button", id: "copy" }, "Copy as text");
  copy.addEventListener("click", async () => {
    // Where the page is not secured there is no clipboard; then the text is marked, to be copied by hand.
    const copied = await (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => true, () => false);
    if (!copied) getSelection().selectAllChildren(pre);
    answers.set("copy", copied ? "It is copied." : "It is marked: copy it with the keyboard.");
    if (copied) refresh(true);
  });
  return panel("In one text", pre, el("div", { class: "edit" }, el("div", { class: "buttons" }, copy), answer("copy")));
}

// ---- what is told, and what not ----

export function spending(budget) {
  return `Told ${budget.realised} of at most ${budget.allowed}${budget.held_back ? `, ${budget.held_back} held back by the budget` : ""}`;
}

const OUTCOMES = { digest: "in the next digest", hold: "held back", suppress: "not told" };

export function heldBack(held) {
  if (!held.length) return null;
  const row = (h) => el("li", {}, time(h.onset_ms), el("div", {},
    el("div", { class: "text" }, mark("quiet", OUTCOMES[h.decision.outcome] ?? h.decision.outcome), " ", el("a", { href: `#/incident/${encodeURIComponent(h.incident)}` }, start(h.title || h.incident))),
    el("div", { class: "sub" }, [`priority ${h.priority}`, ...h.decision.why].join(" · "))));
  return section("Open and not told", String(held.length), el("ul", { class: "notes card" }, ...held.slice(0, 50).map(row)));
}

function notice(n) {
  return el("li", {}, time(n.made_ms), el("div", {}, el("div", { class: "text" }, `${n.outlet}: `, el("a", { href: `#/incident/${encodeURIComponent(n.incident)}` }, start(n.title || n.incident))),
    el("div", { class: "sub" }, [n.event, n.state, n.said, ...n.why.slice(-1)].filter((w) => typeof w === "string" && w).join(" · "))));
}

// ---- all that was said ----

function silenceRow(s, refresh) {
  const words = { active: mark("info", "silent"), waiting: mark("quiet", "waits"), over: mark("quiet", "over") };
  const when = s.state === "waiting" ? ["from ", time(s.from_ms, "clock"), " until ", time(s.until_ms, "clock")] : s.state === "over" ? ["ended ", time(s.until_ms)] : ["until ", time(s.until_ms, "clock")];
  return el("li", {}, el("div", {}, words[s.state]), el("div", {}, el("div", { class: "text" }, s.text),
    el("div", { class: "sub" }, ...when, `, by ${s.by}${s.ended_by ? `, ended by ${s.ended_by}` : ""}: ${s.why}`),
    s.state === "active" ? el("div", { class: "sub" }, s.covers.length ? [`covers ${plural(s.covers.length, "open incident")}`] : "covers nothing that is open") : null,
    s.state === "over" ? null : el("div", { class: "edit" }, button(`end-${s.id}`, "End it", "silences", refresh, () => ({ method: "DELETE", path: "/api/v1/silences", body: { id: s.id }, done: "It is over." })))));
}

const FIELDS = { site: ["Site", "hall"], entity: ["Entity", "hall/press-1"], pattern: ["Pattern", "system.cpu.*"] };

function silenceForm(refresh) {
  const say = button("silence-say", "Silence it", "silences", refresh, () => {
    const match = Object.fromEntries(Object.keys(FIELDS).map((key) => [key, value(`silence-${key}`)]).filter(([, text]) => text).map(([key, text]) => [key, [text]]));
    const from = value("silence-from");
    return { method: "POST", path: "/api/v1/silences", body: { match, for: value("silence-for"), why: value("silence-why"), ...(from ? { from_ms: new Date(from).getTime() } : {}) }, done: "It is kept.", clear: ["silence-why", "silence-from", ...Object.keys(FIELDS).map((key) => `silence-${key}`)] };
  });
  return el("div", { class: "edit wide" }, ...Object.entries(FIELDS).map(([key, [word, like]]) => field(`silence-${key}`, word, { placeholder: like })),
    choice("silence-for", "For", ["2h", "2 hours"], ["30m", "30 minutes"], ["8h", "8 hours"], ["1d", "a day"], ["7d", "a week"], ["30d", "30 days"]),
    field("silence-from", "From (now, if empty)", { type: "datetime-local" }), field("silence-why", "Why", { maxlength: "1000" }),
    el("div", { class: "buttons" }, say), answer("silences"));
}

function half(name) {
  const at = name.indexOf(" ");
  return at < 0 ? [name] : [entityLink(name.slice(0, at)), name.slice(at)];
}

const PAIRS = { used: ["ok", "used"], proposed: ["warning", "proposed"], refused: ["quiet", "refused"], off: ["quiet", "not used"] };

function pairRow(p, at, refresh) {
  const act = (word, method, body, done) => button(`pair-${at}-${word}`, word, "pairs", refresh, () => ({ method, path: "/api/v1/pairs", body: { names: p.names, ...body }, done }));
  return el("li", {}, el("div", {}, mark(...PAIRS[p.state])), el("div", {},
    el("div", { class: "text" }, ...half(p.names[0]), " came with ", ...half(p.names[1])),
    el("div", { class: "sub" }, ...(p.count ? [`${plural(p.count, "time")} together, that is ${Math.round(100 * p.sure)} % of the times of the rarer one, last `, time(p.last_ms)] : ["not seen together lately"]), p.by ? `; ${p.wanted ? "accepted" : "refused"} by ${p.by}` : ""),
    el("div", { class: "edit" }, el("div", { class: "buttons" },
      p.count && p.wanted !== true ? act("Accept", "POST", { wanted: true }, "It is used from now on.") : null,
      p.count && p.wanted !== false ? act("Refuse", "POST", { wanted: false }, "It is not used.") : null,
      p.wanted === null ? null : act("Take back", "DELETE", {}, "It is as if nobody had said it.")))));
}

const LEARN = {
  automatic: "What came together again and again makes one incident, unless somebody refuses it.",
  review: "What came together again and again makes one incident once somebody accepts it.",
  off: "What comes together is not learnt: learn = \"off\" in [correlation].",
};

export async function people(refresh) {
  const [[s, steady], { silences }, pairs, { verdicts }, told] = await Promise.all([status(), ask("/api/v1/silences"), ask("/api/v1/pairs?limit=200"), ask("/api/v1/verdicts?limit=50"), ask("/api/v1/notices?limit=20")]);
  const waiting = pairs.pairs.filter((p) => p.state === "proposed").length;
  const verdictRow = (v) => el("li", {}, time(v.at_ms), el("div", {}, el("div", { class: "text" }, `${v.by}: ${v.word} `, el("a", { href: `#/incident/${encodeURIComponent(v.incident)}` }, v.incident)),
    el("div", { class: "sub" }, [v.pattern, v.note, v.until_ms ? `counts until ${clock(v.until_ms)}` : ""].filter(Boolean).join(" · "))));
  const draw = () => [back(), el("div", { class: "hero" }, el("h1", {}, "People"), el("p", {}, spending(told.budget))),
    el("div", { class: "card panel edit" }, name()),
    section("Silences", silences.length ? String(silences.length) : null, silences.length ? el("ul", { class: "notes card" }, ...silences.map((x) => silenceRow(x, refresh))) : el("p", { class: "empty" }, "Nothing is silenced.")),
    section("Silence something", null, el("div", { class: "card panel" }, silenceForm(refresh))),
    section("What comes together", waiting ? `${waiting} to be looked at` : null, el("p", { class: "count" }, LEARN[pairs.learn]), answer("pairs"),
      pairs.pairs.length ? el("ul", { class: "notes card" }, ...pairs.pairs.map((p, at) => pairRow(p, at, refresh))) : el("p", { class: "empty" }, "Nothing came together three times or more."),
      pairs.total > pairs.pairs.length ? el("p", { class: "count" }, `and ${pairs.total - pairs.pairs.length} more`) : null),
    heldBack(told.held),
    section("Told lately", null, told.notices.length ? el("ul", { class: "notes card" }, ...told.notices.map(notice)) : el("p", { class: "empty" }, "Nobody was told of anything.")),
    section("Verdicts", verdicts.length ? String(verdicts.length) : null, verdicts.length ? el("ul", { class: "notes card" }, ...verdicts.map(verdictRow)) : el("p", { class: "empty" }, "Nobody has judged an incident: each has buttons for it."))].filter(Boolean);
  return { status: s, key: [steady, silences, pairs, verdicts, told], draw, title: "People: Fieldmouse" };
}
