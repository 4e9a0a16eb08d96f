// The little plot of an episode: what was read, what is usual, and where it began.

const NS = "http://www.w3.org/2000/svg";

function svg(name, attributes, ...children) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Round numbers between two values, at most about `wanted` of them.
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) found.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  return found;
}

// Whole seconds, minutes, hours between two times.
function timeTicks(from, to, wanted) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400].map((s) => s * 1000);
  const step = steps.find((s) => s >= (to - from) / wanted) ?? 86400000;
  const found = [];
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) found.push(t);
  return [found, step];
}

function clock(ms, step) {
  const options = { hour: "2-digit", minute: "2-digit", hour12: false };
  if (step < 60000) options.second = "2-digit";
  return new Intl.DateTimeFormat(undefined, options).format(ms);
}

export function plot(spark, width, quantity) {
  const height = width < 480 ? 230 : 270;
  const known = spark.points.filter((p) => p.value !== null);
  const from = spark.points[0].at_ms;
  const to = Math.max(spark.points.at(-1).at_ms, from + 1);
  const has = (v) => typeof v === "number" && Number.isFinite(v);
  const values = [...known.map((p) => p.value), spark.low, spark.high, spark.expected].filter(has);
  let low = Math.min(...values);
  let high = Math.max(...values);
  // A quantity that is never negative should not look as if it could be.
  const floor = low >= 0 ? 0 : -Infinity;
  const margin = (high - low || Math.abs(high) || 1) * 0.08;
  [low, high] = [Math.max(low - margin, floor), high + margin];
  const marks = ticks(low, high, 4);
  const words = marks.map((v) => quantity(v, spark.unit));
  const left = Math.max(...words.map((w) => w.length)) * 7 + 14;
  const [right, top, bottom] = [10, 24, 26];
  const x = (t) => left + ((t - from) / (to - from)) * (width - left - right);
  const y = (v) => height - bottom - ((v - low) / (high - low)) * (height - top - bottom);

  const label = `${spark.series}: ${known.length} readings, usual from ${quantity(spark.low, spark.unit)} to ${quantity(spark.high, spark.unit)}`;
  const root = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
  marks.forEach((v, i) => {
    root.append(svg("line", { class: "grid-line", x1: left, x2: width - right, y1: y(v), y2: y(v) }));
    root.append(svg("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, words[i]));
  });
  const [times, step] = timeTicks(from, to, Math.max(2, (width - left) / 110));
  for (const t of times) {
    root.append(svg("line", { class: "grid-line", x1: x(t), x2: x(t), y1: height - bottom, y2: height - bottom + 5 }));
    root.append(svg("text", { x: Math.min(x(t), width - 22), y: height - 6, "text-anchor": "middle" }, clock(t, step)));
  }
  if (has(spark.low) && has(spark.high)) {
    const [above, below] = [y(Math.min(spark.high, high)), y(Math.max(spark.low, low))];
    root.append(svg("rect", { class: "band", x: left, width: width - left - right, y: above, height: Math.max(below - above, 2) }));
  }
  if (has(spark.expected)) root.append(svg("line", { class: "expected", x1: left, x2: width - right, y1: y(spark.expected), y2: y(spark.expected) }));

  // Where nothing was read, the line has a hole rather than a guess.
  let path = "";
  let pen = "M";
  spark.points.forEach((p, i) => {
    if (p.value === null) {
      pen = "M";
      const half = spark.step_ms / 2;
      const [a, b] = [x(Math.max(p.at_ms - half, from)), x(Math.min(p.at_ms + half, to))];
      root.append(svg("rect", { class: "hole", x: a, width: b - a, y: top, height: height - top - bottom }));
      return;
    }
    path += `${pen}${x(p.at_ms).toFixed(1)} ${y(p.value).toFixed(1)}`;
    pen = "L";
  });
  root.append(svg("path", { class: "data", d: path }));
  for (const p of known) {
    if (p.value < spark.low || p.value > spark.high) root.append(svg("circle", { class: "outside", cx: x(p.at_ms), cy: y(p.value), r: 4 }));
  }
  if (spark.onset_ms >= from && spark.onset_ms <= to) {
    const at = x(spark.onset_ms);
    const beyond = at > width - 90;
    root.append(svg("line", { class: "onset", x1: at, x2: at, y1: top - 8, y2: height - bottom }));
    root.append(svg("text", { class: "onset-label", x: at + (beyond ? -6 : 6), y: top - 10, "text-anchor": beyond ? "end" : "start" }, `began ${clock(spark.onset_ms, 1000)}`));
  }
  return root;
}

export function legend() {
  const sample = (...shapes) => svg("svg", { viewBox: "0 0 22 10", class: "plot", "aria-hidden": "true" }, ...shapes);
  const line = (cls) => svg("line", { class: cls, x1: 0, x2: 22, y1: 5, y2: 5 });
  return [
    [sample(line("data")), "read"],
    [sample(svg("circle", { class: "outside", cx: 11, cy: 5, r: 4 })), "outside the usual"],
    [sample(line("expected")), "expected"],
    [sample(svg("rect", { class: "band", x: 0, y: 0, width: 22, height: 10 })), "usual range"],
  ];
}
