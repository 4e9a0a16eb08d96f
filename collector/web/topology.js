// What depends on what: a site as a tree whose roots depend on nothing, and one entity with its neighbours.

import { ask, back, el, entityLink, mark, pairs, panel, plural, section, start, status, tell, time } from "/tools.js";

const MANY = 12;
const ORIGINS = {
  declared: "declared in the file", label: "says a label", calls: "seen in calls", part: "runs on it",
  elsewhere: "runs there", edited: "said by hand", denied: "denied by hand",
};

const originWord = (t) => `${ORIGINS[t.origin] ?? t.origin}${t.by ? ` (${t.by})` : ""}`;

// Every entity once, below the nearest of what it depends on; what is left depends on itself in a circle.
function tree(found) {
  const below = new Map();
  const depends = new Set();
  for (const e of found.edges) {
    depends.add(e.from);
    below.set(e.to, [...(below.get(e.to) ?? []), e]);
  }
  const placed = new Set();
  const children = new Map();
  const grow = (roots) => {
    let level = roots;
    roots.forEach((r) => placed.add(r));
    while (level.length) {
      const next = [];
      for (const name of level) {
        const own = (below.get(name) ?? []).filter((e) => !placed.has(e.from));
        own.forEach((e) => placed.add(e.from));
        children.set(name, own);
        next.push(...own.map((e) => e.from));
      }
      level = next;
    }
  };
  const names = found.entities.map((e) => e.name);
  const roots = names.filter((n) => !depends.has(n));
  grow(roots);
  for (const name of names) {
    if (!placed.has(name)) {
      roots.push(name);
      grow([name]);
    }
  }
  return { roots, children };
}

function branch(name, edge, shape, known, wrong) {
  const of = known.get(name);
  const line = el("div", { class: "leaf" }, entityLink(name),
    wrong.has(name) ? mark("error", "not well") : of && !of.reported && of.kind === "device" ? mark("quiet", "has not reported") : null,
    of && of.importance !== 5 ? el("span", { class: "sub" }, `importance ${of.importance}`) : null,
    edge ? el("span", { class: "sub" }, edge.told.map(originWord).join(", ")) : null,
    of?.dependents ? el("span", { class: "sub" }, `${plural(of.dependents, "dependent")}`) : null);
  const own = shape.children.get(name) ?? [];
  if (!own.length) return el("li", {}, line);
  own.sort((a, b) => a.from.localeCompare(b.from, undefined, { numeric: true }));
  const list = (edges) => el("ul", {}, ...edges.map((e) => branch(e.from, e, shape, known, wrong)));
  const rest = own.slice(MANY);
  return el("li", {}, line, list(own.slice(0, MANY)), rest.length ? el("details", {}, el("summary", {}, `${rest.length.toLocaleString("en")} more`), list(rest)) : null);
}

const wrongOf = (incidents) => new Set(incidents.flatMap((i) => [...i.impact.entities, i.causes?.[0]?.entity]).filter(Boolean));

function notes(found) {
  return found.notes.length ? section("What makes no sense", String(found.notes.length), el("ul", { class: "notes card" }, ...found.notes.map((n) => el("li", {}, mark("warning", "odd"), el("div", { class: "text" }, start(n)))))) : null;
}

export async function topology(chosen) {
  const site = chosen ? decodeURIComponent(chosen) : null;
  const [[s, steady], found, { incidents }] = await Promise.all([
    status(), ask(`/api/v1/topology?limit=2000${site ? `&site=${encodeURIComponent(site)}` : ""}`), ask("/api/v1/incidents?state=open&limit=200")]);
  const { at_ms: _at, ...still } = found;
  const wrong = wrongOf(incidents);
  const draw = () => {
    const known = new Map(found.entities.map((e) => [e.name, e]));
    const shape = tree(found);
    const tabs = found.sites.slice(0, 50).map((name) => el("a", { href: `#/topology/${encodeURIComponent(name)}`, "aria-current": name === site ? "page" : null }, name));
    const shown = shape.roots.slice(0, 200).map((name) => branch(name, null, shape, known, wrong));
    return [back(), el("div", { class: "hero" }, el("h1", {}, site ? `Site ${site}` : "Topology"), el("p", {}, `${plural(found.total, "entity", "entities")}, ${plural(found.edges.length, "dependency", "dependencies")}. What stands below depends on what stands above it.`)),
      tabs.length > 1 || site ? el("nav", { class: "tabs", "aria-label": "Sites" }, el("a", { href: "#/topology", "aria-current": site ? null : "page" }, "all"), ...tabs) : null,
      found.entities.length ? el("div", { class: "card panel tree" }, el("ul", {}, ...shown)) : el("p", { class: "empty" }, "Nothing is known yet: devices appear when they report."),
      found.total > found.entities.length ? el("p", { class: "count" }, `${(found.total - found.entities.length).toLocaleString("en")} more are not shown: choose a site.`) : null,
      notes(found)].filter(Boolean);
  };
  return { status: s, key: [steady, still, [...wrong]], draw, title: `Topology${site ? ` of ${site}` : ""}: Fieldmouse` };
}

// Says something of an edge; what cannot be is told where it was asked.
function editor(name, refresh) {
  const field = (label, attributes) => el("label", {}, label, el("input", { type: "text", autocomplete: "off", ...attributes }));
  const told = el("p", { class: "count", role: "status" });
  const form = el("form", { class: "edit" }, field("Depends on", { name: "to", placeholder: "site/node", required: "" }), field("Who says so", { name: "by", required: "", maxlength: "64" }),
    el("div", { class: "buttons" }, el("button", { value: "say" }, "It does"), el("button", { value: "deny" }, "It does not"), el("button", { value: "back" }, "Take back")), told);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [to, by, what] = [form.elements.to.value.trim(), form.elements.by.value.trim(), event.submitter?.value];
    const body = { from: name, to, by, ...(what === "deny" ? { denied: true } : {}) };
    const { ok, text } = await tell(what === "back" ? "DELETE" : "POST", "/api/v1/topology/edges", body);
    told.textContent = ok ? "It is kept." : start(text);
    if (ok) refresh();
  });
  return form;
}

export async function entity(encoded, refresh) {
  const name = decodeURIComponent(encoded);
  const [[s, steady], found, { incidents }] = await Promise.all([status(), ask(`/api/v1/topology?entity=${encodeURIComponent(name)}&limit=500`), ask("/api/v1/incidents?state=open&limit=200")]);
  const { at_ms: _at, ...still } = found;
  const { entity: about } = found;
  const of = found.entities.find((e) => e.name === name);
  const labels = Object.entries(of?.labels ?? {}).map(([k, v]) => `${k}=${v}`).join(", ");
  const wrong = wrongOf(incidents);
  const list = (all, none) => (all.length ? el("ul", { class: "list" }, ...all.slice(0, 100).map((d) => el("li", {}, entityLink(d.name), wrong.has(d.name) ? " " : null, wrong.has(d.name) ? mark("error", "not well") : null,
    el("span", { class: "sub" }, d.hops === 1 ? told(found, name, d.name) : `${d.hops} steps away`)))) : el("p", { class: "count" }, none));
  const [site, node] = name.split("#")[0].split("/");
  const draw = () => [el("article", { class: "detail" }, back(`#/topology/${encodeURIComponent(site)}`, "Topology"),
    el("div", { class: "chips" }, wrong.has(name) ? mark("error", "not well") : null, el("span", {}, of?.kind ?? ""), node ? el("a", { href: `#/device/${encodeURIComponent(site)}/${encodeURIComponent(node)}` }, "the device") : null),
    el("h1", {}, name),
    el("div", { class: "grid" },
      el("div", { class: "stack" },
        panel("What it depends on", list(about.dependencies, "Nothing that is known of.")),
        panel("What depends on it", list(about.dependents, "Nothing that is known of."), about.dependents.length > 100 ? el("p", { class: "count" }, `and ${about.dependents.length - 100} more`) : null)),
      el("div", { class: "stack" },
        panel("What is known of it", pairs("facts", ["Importance", `${of?.importance} of 11`], ["Dependents", String(of?.dependents ?? 0)], labels ? ["Labels", labels] : null)),
        about.siblings.length ? panel("Siblings", el("ul", { class: "list" }, ...about.siblings.slice(0, 30).map((n) => el("li", {}, entityLink(n)))), about.siblings.length > 30 ? el("p", { class: "count" }, `and ${about.siblings.length - 30} more`) : null) : null,
        panel("Correct it", editor(name, refresh)))))];
  return { status: s, key: [steady, still, [...wrong]], draw, title: `${name}: Fieldmouse` };
}

function told(found, name, other) {
  const edge = found.edges.find((e) => (e.from === name && e.to === other) || (e.from === other && e.to === name));
  return el("span", {}, ...(edge?.told ?? []).flatMap((t, i) => [i ? ", " : "", originWord(t), ...(t.first_seen_ms ? [" since ", time(t.first_seen_ms, "clock")] : [])]));
}
