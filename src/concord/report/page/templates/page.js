"use strict";
// The page can be read without this. What it adds: theme, values to point at, sortable tables that can
// be saved, the threshold, the search. Texts are only ever set as text.

const every = (selector, root = document) => Array.from(root.querySelectorAll(selector));
const make = (tag, text, name) => Object.assign(document.createElement(tag), { textContent: text, className: name || "" });
const root = document.documentElement;
root.classList.add("js");

// ---- theme: the system's until it is chosen
const toggle = document.getElementById("theme");
const remembered = (value) => {
  try { // a file opened from disk may have no storage
    if (value) localStorage.setItem("concord-theme", value);
    return localStorage.getItem("concord-theme");
  } catch { return null; }
};
const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const setTheme = (theme) => {
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  toggle.textContent = isDark() ? "light" : "dark";
};
setTheme(remembered());
toggle.hidden = false;
toggle.addEventListener("click", () => { setTheme(isDark() ? "light" : "dark"); remembered(root.dataset.theme); });

// ---- numbers, written as the page writes them
const written = (kind, number) => {
  if (number === null || Number.isNaN(number)) return "\u2013";
  if (kind === "number") return Number(number.toPrecision(3)).toLocaleString("en").replace("-", "\u2212");
  const text = kind === "share" ? (100 * number).toFixed(1) : number.toFixed(2);
  const sign = kind === "signed" && Number(text) > 0 ? "+" : "";
  return (sign + (Number(text) === 0 ? text.replace("-", "") : text)).replace("-", "\u2212") + (kind === "share" ? "\u202f%" : "");
};

// ---- values to point at: a bar's <title>, or what the curves are at the nearest x
const tip = document.getElementById("tip");
for (const title of every("svg title")) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}
const svg = (name, attributes) => {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, text] of Object.entries(attributes)) shape.setAttribute(key, text);
  return shape;
};
const guide = svg("line", { class: "guide", y2: "100%" });
const atPointer = (plot, event) => {
  const { low, high, x, xTitle } = plot.dataset;
  const xs = x.trim().split(" ").map(Number);
  const box = plot.getBoundingClientRect();
  const pointed = Number(low) + ((event.clientX - box.left) / box.width) * (high - low);
  const index = xs.reduce((best, one, i) => (Math.abs(one - pointed) < Math.abs(xs[best] - pointed) ? i : best), 0);
  const place = `${(100 * (xs[index] - low)) / (high - low)}%`;
  guide.setAttribute("x1", place);
  guide.setAttribute("x2", place);
  plot.append(guide);
  const lines = every(".curve", plot).map((curve) => {
    const y = curve.dataset.y.split(",")[index];
    return [curve.dataset.name, written(curve.dataset.kind, y === "" ? null : Number(y))];
  });
  return [`${xTitle} ${xs[index]}`, lines];
};
const showTip = (event) => {
  const shape = event.target.closest?.("[data-tip]"), plot = event.target.closest?.("[data-x]");
  tip.hidden = !shape && !plot?.dataset.x;
  guide.remove();
  if (tip.hidden) return;
  const [head, lines] = shape ? [shape.dataset.tip.split("\n")[0], [shape.dataset.tip.split("\n").slice(1)]] : atPointer(plot, event);
  tip.replaceChildren(make("b", head), ...lines.map((line) => {
    const row = make("span", "");
    row.append(...line.map((part) => make("i", part)));
    return row;
  }));
  const box = tip.getBoundingClientRect();
  const right = event.clientX + 14 + box.width > innerWidth - 8;
  tip.style.left = `${Math.max(8, right ? event.clientX - 14 - box.width : event.clientX + 14)}px`;
  tip.style.top = `${Math.max(8, Math.min(event.clientY - box.height / 2, innerHeight - box.height - 8))}px`;
};
for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, showTip);
document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

// ---- tables: their rows as data, sorting, saving
const value = (cell) => {
  if (!("v" in cell.dataset)) return (cell.querySelector(".fold") || cell).textContent;
  return cell.dataset.v === "" ? null : Number(cell.dataset.v);
};
const read = (table) => {
  const heads = every("thead th", table).map((head) => head.textContent);
  const rows = every("tbody tr", table).filter((row) => row.cells.length === heads.length);
  return rows.map((row) => Object.fromEntries(heads.map((head, i) => [head, value(row.cells[i])])));
};
// A spreadsheet would run a text that begins like a formula; the apostrophe makes it text.
const quoted = (item) => {
  if (item === null) return "";
  const text = typeof item === "string" && /^[=+\-@\t\r]/.test(item) ? `'${item}` : String(item);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csv = (records) => {
  const heads = [...new Set(records.flatMap(Object.keys))];
  return [heads, ...records.map((record) => heads.map((head) => record[head] ?? null))]
    .map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
};
const save = (name, text, type) => {
  const link = make("a", "");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
const saveButtons = (name, records) => {
  const box = make("div", "", "save");
  const add = (label, act) => {
    const button = Object.assign(make("button", label), { type: "button", title: `save ${name} as ${label}` });
    button.addEventListener("click", act);
    box.append(button);
  };
  add("CSV", () => save(`${name}.csv`, csv(records()), "text/csv"));
  add("JSON", () => save(`${name}.json`, JSON.stringify(records(), null, 1), "application/json"));
  return box;
};
const sortBy = (table, column) => {
  const head = table.tHead.rows[0].cells[column];
  const now = head.getAttribute("aria-sort"), words = head.matches(".name, .text, .long");
  const rising = now ? now === "descending" : words; // at first the largest number, the first word
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const missing = (item) => item === null;
  const rows = Array.from(table.tBodies[0].rows, (row) => [value(row.cells[column]), row]);
  rows.sort(([a], [b]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = typeof a === "number" ? a - b : a.localeCompare(b);
    return rising ? order : -order;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
};
for (const box of every(".table")) {
  const table = box.querySelector("table");
  box.append(saveButtons(table.id, () => read(table)));
  if (!box.querySelector(".caption")) box.classList.add("bare");
  if (table.matches(".heat")) continue;
  every("thead th", table).forEach((head, column) => head.addEventListener("click", () => sortBy(table, column)));
}
for (const fold of every(".fold")) fold.addEventListener("click", () => fold.classList.toggle("unfolded"));
for (const line of every(".all")) {
  line.hidden = false;
  line.querySelector("button").addEventListener("click", () => {
    const article = line.closest("article");
    const tables = every(".table table", article).map((table) => [table.id.replace(/^[^-]*-/, ""), read(table)]);
    save("concord.json", JSON.stringify(Object.fromEntries([...tables, ["rollouts", rollouts(article)]]), null, 1), "application/json");
  });
}

// ---- the rollouts of the examples, as data
const rollouts = (article) => every(".rollout:not([hidden])", article).map((card) => {
  const example = card.closest(".example");
  const scores = every(".scores tbody tr", card).flatMap((row) => [
    [`${row.cells[0].textContent}: score`, value(row.cells[1])],
    [`${row.cells[0].textContent}: z`, value(row.cells[2])],
  ]);
  return {
    group: example.querySelector(".facts").textContent, rollout: Number(card.dataset.index),
    prompt: example.querySelector(".prompt").textContent, completion: card.querySelector(".completion").textContent,
    mixed: card.dataset.mixed === "1", consensus: Number(card.dataset.consensus),
    state: card.dataset.state, ...Object.fromEntries(scores),
  };
});

// ---- the threshold: the sweep's table is the data
const setThreshold = (article, index) => {
  const table = every("table", article).find((found) => found.id.endsWith("-sweep"));
  const heads = every("thead th", table);
  const row = every("tbody tr", table).find((found) => Number(found.dataset.index) === index);
  const tau = value(row.cells[0]);
  heads.forEach((head, column) => {
    for (const output of every("output[data-field]", article)) {
      if (output.dataset.field !== head.textContent) continue;
      output.textContent = row.cells[column].textContent;
    }
  });
  every("tbody tr", table).forEach((other) => other.classList.toggle("marked", other === row));
  for (const label of every(".threshold", article)) {
    label.querySelector("output").textContent = tau.toFixed(2);
    label.querySelector("input").value = index;
  }
  for (const cursor of every(".cursor", article)) {
    const plot = cursor.closest(".plot"), { low, high, bottom, top } = plot.dataset;
    const across = `${(100 * (tau - low)) / (high - low)}%`;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, across);
    every(".dot", plot).forEach((dot) => dot.remove());
    for (const curve of every(".curve", plot)) {
      const number = value(row.cells[heads.findIndex((head) => head.textContent === curve.dataset.name)]);
      if (number === null) continue;
      cursor.after(svg("circle", {
        class: curve.getAttribute("class").replace("curve", "dot"), r: 4.5,
        cx: across, cy: `${(100 * (top - number)) / (top - bottom)}%`,
      }));
    }
  }
  for (const card of every(".rollout", article)) {
    if (card.dataset.mixed === "0") continue; // kept at every tau, or not scored
    card.dataset.state = tau === 1 || Math.abs(card.dataset.consensus) < tau ? "dropped" : "kept";
    card.querySelector(".state").textContent = card.dataset.state;
  }
};

// ---- search and filter
const highlight = (ranges) => globalThis.Highlight && CSS.highlights.set("found", new Highlight(...ranges));
const occurrences = (pane, words) => {
  const node = pane.firstChild, text = node.data.toLowerCase(), ranges = [];
  for (let at = text.indexOf(words); at >= 0 && ranges.length < 200; at = text.indexOf(words, at + words.length)) {
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + words.length);
    ranges.push(range);
  }
  return ranges;
};
const holds = (pane, words) => Boolean(pane.firstChild) && pane.firstChild.data.toLowerCase().includes(words);
const filter = (section) => {
  const words = section.querySelector("input[type=search]").value.trim().toLowerCase();
  const which = section.querySelector("select").value;
  const panes = [];
  let shown = 0, groups = 0;
  for (const example of every(".example", section)) {
    const prompt = example.querySelector(".prompt");
    const inPrompt = holds(prompt, words);
    const fits = every(".rollout", example).filter((card) => {
      const completion = card.querySelector(".completion");
      const right = which === "" || (which === "mixed" ? card.dataset.mixed === "1" : card.dataset.state === which);
      card.hidden = !right || !(!words || inPrompt || holds(completion, words));
      if (!card.hidden && words) panes.push(completion);
      return !card.hidden;
    });
    example.hidden = fits.length === 0;
    if (words && fits.length) panes.push(prompt), example.open = true;
    shown += fits.length;
    groups += fits.length > 0;
  }
  highlight(words ? panes.filter((pane) => holds(pane, words)).flatMap((pane) => occurrences(pane, words)) : []);
  section.querySelector(".found").textContent = `${shown} rollout${shown === 1 ? "" : "s"} of ${groups} group${groups === 1 ? "" : "s"}`;
};
for (const section of every(".examples")) {
  const form = section.querySelector("form");
  if (!form) continue;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(saveButtons(`${section.closest("article").id}-rollouts`, () => rollouts(section)));
  form.addEventListener("input", () => filter(section));
  filter(section);
}
for (const input of every(".threshold input")) {
  const article = input.closest("article");
  input.disabled = false;
  setThreshold(article, Number(input.value));
  input.addEventListener("input", () => {
    setThreshold(article, Number(input.value));
    every(".examples", article).filter((section) => section.querySelector("form")).forEach(filter);
  });
}

// ---- where the reader is
const links = every(".top nav a");
const place = () => {
  const passed = links.filter((link) => document.querySelector(link.hash)?.getBoundingClientRect().top < 120);
  for (const link of links) link.toggleAttribute("aria-current", link === passed.at(-1));
};
document.addEventListener("scroll", place, { passive: true });
place();
