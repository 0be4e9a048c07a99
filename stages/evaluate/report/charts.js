// Charts of the page, by Plotly, which is loaded after the first paint: it is the one large file.
"use strict";

const DASHES = ["dot", "solid"];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function axis(title, more = {}) {
  return { title: { text: title, standoff: 8 }, gridcolor: colour("line"), zeroline: false, fixedrange: true, ...more };
}

function draw(id, traces, layout) {
  const place = byId(id);
  if (!place) return;
  const base = {
    margin: { l: 56, r: 14, t: 24, b: 48 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("soft") },
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
    legend: { orientation: "h", x: 0, y: 1.22, font: { color: colour("ink") } }, dragmode: false, hovermode: "closest",
  };
  Plotly.react(place, traces, { ...base, ...layout }, { displayModeBar: false, responsive: true });
}

function thresholdMark(value) {
  return {
    shapes: [{ type: "line", x0: value, x1: value, y0: 0, y1: 1, yref: "paper", line: { color: colour("ink"), width: 2 } }],
    annotations: [{
      x: value, y: 1, yref: "paper", yanchor: "bottom", showarrow: false, text: value.toFixed(3), font: { color: colour("ink") },
    }],
  };
}

function drawHistogram(model) {
  const { histogram } = content.models[model];
  const centres = histogram.edges.slice(1).map((edge, i) => (edge + histogram.edges[i]) / 2);
  const width = histogram.edges[1] - histogram.edges[0];
  const bars = ["normal", "anomalous"].map((kind) => ({
    type: "bar", name: kind, x: centres, y: histogram[kind], width, opacity: 0.72, hovertemplate: `%{y} ${kind}, score %{x:.3f}<extra></extra>`,
    marker: { color: colour(kind), pattern: { shape: kind === "anomalous" ? "/" : "", fillmode: "overlay", fgcolor: colour("card"), size: 7 } },
  }));
  draw(`histogram-${model}`, bars, {
    barmode: "overlay", xaxis: axis("score", { range: rangeOf(model) }), yaxis: axis("test images"), ...thresholdMark(thresholds[model]),
  });
}

function rangeOf(model) {
  const slider = byId(`slider-${model}`);
  return [Number(slider.min), Number(slider.max)];
}

// Where the threshold stands on the curves, from the counts that the page shows.
function pointOf(name, counts) {
  const recall = counts.found / (counts.found + counts.missed);
  if (name === "roc") return [counts.alarm / (counts.alarm + counts.passed), recall];
  return [recall, counts.found + counts.alarm ? counts.found / (counts.found + counts.alarm) : 1];
}

const CURVES = {
  roc: ["false alarms, share of normal images", "found, share of anomalous images"],
  pr: ["found, share of anomalous images", "precision of what is flagged"],
  pro: ["false positive rate of pixels", "covered, share of each region"],
};

function drawCurve(name) {
  const lines = content.curves[name].map((curve, model) => ({
    type: "scatter", mode: "lines", x: curve.x, y: curve.y, name: content.models[model].title, showlegend: newest > 0,
    line: { color: colour(model ? "anomalous" : "normal"), width: 2.5, dash: newest ? DASHES[model] : "solid" },
    hovertemplate: "%{x:.3f}, %{y:.3f}<extra></extra>",
  }));
  const dots = name === "pro" ? [] : content.models.map((_, model) => {
    const [x, y] = pointOf(name, recount(model));
    return {
      type: "scatter", mode: "markers", x: [x], y: [y], showlegend: false,
      marker: { size: 11, color: colour("ink"), symbol: model ? "diamond" : "circle" },
      hovertemplate: "threshold: %{x:.3f}, %{y:.3f}<extra></extra>",
    };
  });
  const [x, y] = CURVES[name];
  const far = name === "pro" ? Math.max(...content.curves.pro.flatMap((curve) => curve.x)) : 1;
  draw(name, [...lines, ...dots], { xaxis: axis(x, { range: [-0.01 * far, 1.01 * far] }), yaxis: axis(y, { range: [-0.01, 1.03] }) });
}

function drawTraining() {
  if (!content.training) return;
  const colours = ["normal", "anomalous", "alarm", "good"].map(colour);
  const dashes = ["solid", "dash", "dot", "dashdot"];
  const line = ([name, y], i) => ({
    type: "scatter", mode: "lines+markers", name: name.replace(/^(loss|val)_/, "").replaceAll("_", " "),
    x: content.training.step, y, line: { color: colours[i % 4], dash: dashes[i % 4] },
  });
  const columns = Object.entries(content.training);
  const part = (prefix) => columns.filter(([name]) => name.startsWith(prefix)).map(line);
  draw("losses", part("loss_"), { xaxis: axis("step"), yaxis: axis("loss", { type: "log" }) });
  draw("validation", part("val_"), { xaxis: axis("step"), yaxis: axis("figure", { range: [0, 1.03] }) });
}

function drawAll() {
  content.models.forEach((_, model) => drawHistogram(model));
  for (const name of Object.keys(CURVES)) if (content.curves[name].length) drawCurve(name);
  drawTraining();
}

function follow(event) {
  const { model, value, counts } = event.detail;
  if (!window.Plotly) return;
  Plotly.relayout(`histogram-${model}`, thresholdMark(value));
  for (const name of ["roc", "pr"]) {
    if (!content.curves[name].length) continue;
    const [x, y] = pointOf(name, counts);
    Plotly.restyle(name, { x: [[x]], y: [[y]] }, [content.models.length + model]);
  }
}

// The chart's area follows from the margins above, so nothing of Plotly's inside is asked.
function drag(model) {
  const chart = byId(`histogram-${model}`);
  const move = (event) => {
    const box = chart.getBoundingClientRect();
    const [low, high] = rangeOf(model);
    const share = (event.clientX - box.left - 56) / (box.width - 56 - 14);
    setThreshold(model, low + (high - low) * Math.max(0, Math.min(1, share)));
  };
  chart.addEventListener("pointerdown", (event) => { chart.setPointerCapture(event.pointerId); move(event); });
  chart.addEventListener("pointermove", (event) => { if (chart.hasPointerCapture(event.pointerId)) move(event); });
}

content.models.forEach((_, model) => drag(model));
document.addEventListener("threshold", follow);
window.addEventListener("load", () => {
  const script = make("script", { src: `${content.folder}/plotly.min.js` });
  script.addEventListener("load", drawAll);
  script.addEventListener("error", () => {
    const text = `${content.folder}/plotly.min.js is missing: no chart.`;
    for (const chart of document.querySelectorAll(".chart")) {
      chart.replaceWith(make("p", { className: "note", textContent: text }));
    }
  });
  document.body.append(script);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (window.Plotly) drawAll(); });
