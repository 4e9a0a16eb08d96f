// Incidents: what is wrong, why, who suffers, and what became of it.

import { heldBack, opinion, similar, spending, statement, statementPanel } from "/people.js";
import { ask, back, clock, el, entityLink, mark, now, pairs, panel, plural, section, span, start, status, time } from "/tools.js";

const KINDS = { 1: "fatal", 2: "error", 3: "warning", 4: "info", 5: "quiet" };
export const hashOfIncident = (i) => `#/incident/${encodeURIComponent(i.id)}`;

function rank(i) {
  const open = i.state === "open";
  return mark(open ? KINDS[i.priority] ?? "warning" : "quiet", open ? `Priority ${i.priority}` : i.state === "merged" ? "part of another" : "over");
}

const titleOf = (i) => start(i.title || i.causes?.[0]?.why || i.impact.entities[0] || i.id);

function when(i) {
  if (i.state === "open") return el("span", {}, "for ", time(i.onset_ms, "span"));
  return el("span", {}, "ended ", time(i.closed_ms ?? i.updated_ms), i.closed_ms ? `, lasted ${span(i.closed_ms - i.onset_ms)}` : "");
}

export function incidentCard(i) {
  const open = i.state === "open";
  const line = el("div", { class: "line" }, rank(i), el("span", { class: "where" }, i.causes?.[0]?.entity ?? i.impact.entities[0] ?? ""), el("span", {}, i.sites.join(", ")));
  const suffer = [plural(i.impact.devices, "device")];
  if (i.impact.dependents) suffer.push(`${plural(i.impact.dependents, "entity", "entities")} ${i.impact.dependents === 1 ? "depends" : "depend"} on it`);
  const tail = el("div", { class: "line" }, when(i), el("span", {}, suffer.join(", ")), el("span", {}, plural(i.count, "signal")),
    i.reopened ? el("span", {}, `came back ${plural(i.reopened, "time")}`) : null, held(i) ? el("span", {}, held(i).toLowerCase()) : null);
  return el("li", {}, el("a", { class: open ? "episode card" : "episode", href: hashOfIncident(i) }, line, el("p", { class: "sentence" }, titleOf(i)), tail));
}

export async function incidents() {
  const [[s, steady], { incidents: open }, { incidents: closed }, { held }] = await Promise.all([status(), ask("/api/v1/incidents?state=open&limit=200"), ask("/api/v1/incidents?state=closed&limit=100"), ask("/api/v1/notices?limit=50")]);
  open.sort((a, b) => a.priority - b.priority || b.onset_ms - a.onset_ms);
  const list = (all, cls, none) => (all.length ? el("ul", { class: cls }, ...all.map(incidentCard)) : el("p", { class: "empty" }, none));
  const draw = () => [back(), el("div", { class: "hero" }, el("h1", {}, "Incidents"), el("p", {}, `${open.length} open, the most urgent first. ${spending(s.budget)}.`)),
    section("Open", String(open.length), list(open, "episodes", "Nothing is wrong that is known of.")),
    heldBack(held),
    section("Over", String(closed.length), list(closed, "episodes small card", "No incident is over yet."))].filter(Boolean);
  return { status: s, key: [steady, open, closed, held], draw, title: `Incidents (${open.length}): Fieldmouse` };
}

function link(l) {
  switch (l.by) {
    case "device": return `${l.device} told of all of it`;
    case "scope": return `they share ${l.scope}`;
    case "depends": return `${l.who} depends on ${l.on}`;
    case "shared": return `${l.count} of ${l.of} that depend on ${l.on} went together`;
    case "learnt": return `${l.pair[0]} came together with ${l.pair[1]} before`;
    default: return Object.values(l).join(" ");
  }
}

function cause(c, i) {
  const bar = el("i");
  const share = Math.round(c.score * 100);
  bar.style.width = `${Math.min(share, 100)}%`;
  const reasons = c.reasons.map(([text, weight]) => el("li", {}, text, el("span", { class: "weight" }, weight.toFixed(2))));
  return el("li", {},
    el("div", { class: "label" }, el("span", {}, `${i + 1}. `, entityLink(c.entity)), el("span", { class: "share" }, `${share} %`)),
    el("div", { class: "bar", "aria-hidden": "true" }, bar),
    el("p", {}, start(c.why)), c.metric ? el("div", { class: "sub mono" }, c.metric) : null,
    reasons.length ? el("details", {}, el("summary", {}, plural(reasons.length, "reason")), el("ul", { class: "reasons" }, ...reasons)) : null);
}

function member(m) {
  const of = [m.site, m.node].map(encodeURIComponent).join("/");
  const href = m.what === "episode" ? `#/episode/${of}/${m.epoch}/${m.id}` : `#/device/${of}`;
  const word = m.role === "change" ? "change" : m.severity;
  return el("li", {}, time(m.onset_ms, "clock"), el("div", {},
    el("div", { class: "text" }, mark(m.role === "change" ? "info" : m.end_ms ? "quiet" : m.severity, word), " ", el("a", { href }, m.text || m.what)),
    el("div", { class: "sub" }, [m.entity, m.role === "hint" ? "joins in" : "", m.end_ms ? `over after ${span(m.end_ms - m.onset_ms)}` : "goes on"].filter(Boolean).join(" · "))));
}

function life(i) {
  const rows = i.life.map((l) => el("li", { class: l.step === "opened" ? "onset" : "" }, start(l.step), " ", time(l.at_ms, "clock"), l.text ? el("span", { class: "sub" }, l.text) : null));
  if (i.state === "open") rows.push(el("li", { class: "now" }, "Still open"));
  return el("ol", { class: "timeline" }, ...rows);
}

const OUTCOMES = { page: "People were told", digest: "It stands in the next digest", hold: "Held back for now", suppress: "Not told" };
const held = (i) => (i.decision && i.decision.outcome !== "page" ? OUTCOMES[i.decision.outcome] : null);

function told(i) {
  const d = i.decision;
  const notices = i.notices.map((n) => el("li", {}, `${n.outlet}: ${[n.event, n.state].filter((w) => typeof w === "string").join(", ")}`, n.made_ms ? el("span", {}, " ", time(n.made_ms)) : null, n.said ? el("span", { class: "sub" }, n.said) : null));
  if (!d && !notices.length) return null;
  return panel(d ? OUTCOMES[d.outcome] ?? "Whom it was told to" : "Whom it was told to",
    el("ul", { class: "list" }, ...(d?.why ?? []).map((w) => el("li", {}, start(w))), ...(d?.runbook ? [el("li", {}, `What to do: ${d.runbook}`)] : []), ...notices));
}

export async function incident(id, refresh) {
  const name = decodeURIComponent(id);
  const [[s, steady], i, text] = await Promise.all([status(), ask(`/api/v1/incidents/${encodeURIComponent(name)}`), statement({ id: name })]);
  const chains = i.chains ?? [];
  const draw = () => [el("article", { class: "detail" }, back("#/incidents", "Incidents"),
    el("div", { class: "chips" }, rank(i), el("span", {}, i.sites.join(", ")), el("span", {}, i.state === "open" ? "open for " : "lasted ", i.state === "open" ? time(i.onset_ms, "span") : span((i.closed_ms ?? now()) - i.onset_ms)),
      i.merged_into ? el("a", { href: `#/incident/${encodeURIComponent(i.merged_into)}` }, "became part of another") : null,
      i.split_from ? el("a", { href: `#/incident/${encodeURIComponent(i.split_from)}` }, "came out of another") : null),
    el("h1", {}, titleOf(i)),
    el("div", { class: "grid" },
      el("div", { class: "stack" },
        panel("Likely causes", i.causes.length ? el("ol", { class: "bars causes" }, ...i.causes.map(cause)) : el("p", { class: "count" }, "None could be told apart.")),
        similar(i),
        panel("What was told", el("ul", { class: "notes" }, ...i.members.map(member)), i.count > i.members.length ? el("p", { class: "count" }, `and ${plural(i.count - i.members.length, "more", "more")}`) : null),
        i.links.length || chains.length ? panel("Why it is one incident", el("ul", { class: "list" },
          ...i.links.map((l) => el("li", {}, start(link(l)))), ...chains.map((c) => el("li", { class: "mono" }, c.join(" → "))))) : null,
        statementPanel(i, text, refresh)),
      el("div", { class: "stack" },
        opinion(i, refresh),
        panel("Who suffers", pairs("facts", ["Devices", String(i.impact.devices)], ["Depend on it", String(i.impact.dependents)]),
          el("ul", { class: "list" }, ...i.impact.entities.map((e) => el("li", {}, entityLink(e))))),
        panel(`Why priority ${i.priority}`, el("ul", { class: "list" }, ...i.priority_why.map((w) => el("li", {}, start(w)))), i.priority_why.length ? null : el("p", { class: "count" }, "Nobody has weighed it yet.")),
        panel("Its life", life(i)),
        told(i),
        panel("In figures", pairs("facts", ["Began", clock(i.onset_ms)], ["Severity", i.severity], ["Confidence", `${i.confidence} %`], ["Signals", String(i.count)],
          i.reopened ? ["Came back", plural(i.reopened, "time")] : null, ["Name", el("span", { class: "mono" }, i.id)])))))];
  return { status: s, key: [steady, i, text], draw, title: `${titleOf(i)}: Fieldmouse` };
}
