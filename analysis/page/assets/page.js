"use strict";
// The figures and controls of the report. Data and layouts come as JSON; here they get the colours of the theme, and a
// figure is drawn when it comes into view.
const PLOTS = JSON.parse(document.getElementById("plots").textContent);
const DARK = JSON.parse(document.getElementById("dark").textContent); // colour on white -> the same on dark
const CONFIG = { responsive: true, displayModeBar: false };
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const shown = { arms: new Set(PLOTS.legend.map((arm) => arm.arm)), network: 0 };

const media = matchMedia("(prefers-color-scheme: dark)");
const scheme = () => document.documentElement.style.colorScheme || (media.matches ? "dark" : "light");
let printing = false;
const isDark = () => !printing && scheme() === "dark";
const onPage = (color) => (isDark() ? (DARK[color.slice(0, 7)] ?? color.slice(0, 7)) + color.slice(7) : color);
const painted = (value) =>
  typeof value === "string" ? (/^#[0-9A-F]{6}([0-9a-f]{2})?$/i.test(value) ? onPage(value) : value)
  : Array.isArray(value) ? value.map(painted)
  : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, painted(v)]))
  : value;

function figureOf(div) {
  return PLOTS[div.dataset.kind][div.dataset.kind === "keys" ? shown.network : div.dataset.index];
}

function isShown({ arm, key, split }) {
  const ticked = (id, value) => document.querySelector(`#${id} input[value="${value}"]`).checked;
  return arm !== undefined ? shown.arms.has(arm) : ticked("steps", key) && ticked("splits", split);
}

const zooms = (div) => div.dataset.kind === "keys" && matchMedia("(pointer: fine)").matches; // a finger scrolls the page

function draw(div) {
  const { data, layout } = figureOf(div);
  const [line, text] = isDark() ? ["#3a3e46", "#e8e8e6"] : ["#d9dbdf", "#1c1e21"]; // --line and --text of page.css
  const grid = { gridcolor: line, linecolor: line, zeroline: false, automargin: true, fixedrange: !zooms(div) };
  const whole = {
    margin: { l: 50, r: 8, t: 8, b: 44 }, showlegend: false, hovermode: "closest", dragmode: zooms(div) && "zoom",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hoverlabel: { align: "left" },
    width: printing ? (div.dataset.kind === "keys" ? 680 : 330) : undefined, // two beside each other on paper
    font: { color: text, family: getComputedStyle(document.body).fontFamily, size: 12 }, ...painted(layout),
    xaxis: { ...grid, ...layout.xaxis }, yaxis: { ...grid, ...layout.yaxis },
  };
  const traces = painted(data).map((trace) => ({ type: "scatter", ...trace, visible: isShown(trace.meta) }));
  const drawn = Plotly.react(div, traces, whole, CONFIG);
  if (!div.dataset.drawn) listen(div);
  div.dataset.drawn = "yes";
  return drawn;
}

const redraw = () => all(".plot[data-drawn]").map(draw);

// Hover, click and keys of one figure.
function listen(div) {
  const told = div.parentElement.querySelector(".told");
  let at = -1;
  const points = () => div.data.flatMap((trace, c) =>
    trace.visible === true && trace.text ? trace.y.flatMap((y, p) => (y === null ? [] : { curveNumber: c, pointNumber: p })) : []);
  const tell = (text) => { // it is HTML, escaped where it was made
    told.innerHTML = text;
    told.textContent = told.innerText.replaceAll("\n", "; ");
  };
  div.on("plotly_hover", ({ points: [point] }) => tell(point.text));
  div.on("plotly_click", ({ points: [point] }) => point.customdata && goTo(point.customdata));
  div.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const every = points();
    if (step && every.length) {
      at = (at + step + every.length) % every.length;
      Plotly.Fx.hover(div, [every[at]]); // draws the label and tells nobody
      tell(div.data[every[at].curveNumber].text[every[at].pointNumber]);
      event.preventDefault();
    } else if (event.key === "Enter" && every[at]) {
      const { curveNumber, pointNumber } = every[at];
      const variant = div.data[curveNumber].customdata?.[pointNumber];
      if (variant) goTo(variant);
    }
  });
}

// The rows of a variant in the table of trials.
function goTo(variant) {
  const table = document.querySelector("#trials .table");
  const filter = document.querySelector("#trials input[type=search]");
  if (filter?.value) { filter.value = ""; filter.dispatchEvent(new Event("input")); }
  const rows = all("tbody tr", table);
  const wanted = rows.filter((row) => variant.every((word, i) => row.cells[i].textContent === String(word)));
  rows.forEach((row) => row.classList.toggle("picked", wanted.includes(row)));
  wanted[0]?.scrollIntoView({ block: "center" });
  table.focus({ preventScroll: true });
}

function showArms(arms) {
  shown.arms = new Set(arms);
  for (const box of all("fieldset.legend input")) box.checked = shown.arms.has(box.dataset.arm);
  redraw();
}

// Legends: the same arms above every group of figures.
async function legends() {
  const probe = document.body.appendChild(document.createElement("div"));
  const one = PLOTS.legend.map((arm) => ({ type: "scatter", x: [0], y: [0], mode: "markers", marker: { symbol: arm.symbol, size: 9 } }));
  await Plotly.newPlot(probe, one, { width: 100, height: 100 }, { staticPlot: true });
  const shapes = all(".scatterlayer path.point", probe).map((path) => path.getAttribute("d"));
  Plotly.purge(probe);
  probe.remove();
  for (const fieldset of all("fieldset.legend")) {
    const every = fieldset.appendChild(document.createElement("button"));
    every.type = "button";
    every.textContent = "All or none";
    every.addEventListener("click", () => showArms(shown.arms.size ? [] : PLOTS.legend.map((arm) => arm.arm)));
    PLOTS.legend.forEach((arm, i) => {
      const label = fieldset.appendChild(document.createElement("label"));
      const color = `light-dark(${arm.color}, ${DARK[arm.color]})`;
      label.innerHTML = `<input type="checkbox" checked><svg class="swatch" viewBox="-22 -8 44 16" aria-hidden="true"><line x1="-22" x2="22"
        style="stroke: ${color}" stroke-dasharray="${arm.dash === "solid" ? "" : arm.dash.replaceAll("px", "")}"/><path d="${shapes[i]}" style="fill: ${color}"/></svg>`;
      label.append(arm.label);
      const box = label.querySelector("input");
      box.dataset.arm = arm.arm;
      box.addEventListener("change", () => {
        shown.arms[box.checked ? "add" : "delete"](arm.arm);
        showArms(shown.arms);
      });
    });
  }
}

function keyControls() {
  const plot = document.querySelector("#keys .plot");
  if (!plot) return;
  const showNetwork = (number) => { // tasks differ in their steps
    shown.network = number;
    const { data, note } = PLOTS.keys[number];
    document.getElementById("about").textContent = note;
    for (const box of all("#steps input")) box.parentElement.hidden = !data.some((trace) => trace.meta.key === box.value);
  };
  showNetwork(0);
  document.getElementById("network").addEventListener("change", (event) => { showNetwork(+event.target.value); draw(plot); });
  for (const box of all("#steps input, #splits input")) box.addEventListener("change", () => draw(plot));
  for (const box of all("#steps input")) {
    const color = PLOTS.keys.flatMap(({ data }) => data).find((trace) => trace.meta.key === box.value)?.marker.color;
    if (color) box.nextElementSibling.style.background = `light-dark(${color}, ${DARK[color]})`;
  }
}

// A filter for each table that has more rows than one sees at once: rows must hold every word.
function filters() {
  for (const region of all(".table")) {
    const table = region.firstElementChild, n = table.tBodies[0].rows.length;
    if (n < 6) continue;
    const bar = document.createElement("div");
    bar.className = "filter";
    bar.innerHTML = `<label>Filter rows <input type="search"></label><span role="status">${n} rows</span>`;
    region.before(bar);
    bar.querySelector("input").addEventListener("input", (event) => {
      const words = event.target.value.toLowerCase().split(/\s+/);
      const rows = [...table.tBodies[0].rows];
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      const left = rows.filter((row) => !row.hidden).length;
      bar.querySelector("span").textContent = left === n ? `${n} rows` : `${left} of ${n} rows`;
    });
  }
}

const WORDS = { agrees: "good", passed: "good", completed: "good", differs: "bad", FAILED: "bad", failed: "bad", undecided: "open", missing: "open" };
for (const cell of all("td")) if (WORDS[cell.textContent]) cell.classList.add(WORDS[cell.textContent]);

document.getElementById("theme").addEventListener("click", () => {
  document.documentElement.style.colorScheme = isDark() ? "light" : "dark";
  redraw();
});
media.addEventListener("change", redraw);
addEventListener("beforeprint", () => { printing = true; all(".plot").forEach(draw); });
addEventListener("afterprint", () => { printing = false; redraw(); all(".plot[data-drawn]").forEach(Plotly.Plots.resize); });

filters();
keyControls();
legends();
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) { seen.unobserve(target); draw(target); }
}, { rootMargin: "200px" });
all(".plot").forEach((div) => seen.observe(div));
