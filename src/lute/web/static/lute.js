// Keeps a page true while runs live. Without it every page still works; it is then as it was when it was loaded.
"use strict";

const MOST_LINES = 2000;
const EVERY = 4000; // ms between two looks at a list, or more where a look takes long

const announce = (text) => { document.getElementById("announce").textContent = text; };

// As the server does for the lines that are on the page when it is loaded.
const readable = (text) =>
  text.replace(/\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])/g, "").replace(/\r\n?/g, "\n");

async function renewed(id) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
}

// ---------------------------------------------------------------------------------------------- lists

function followList(live) {
  let old = live.innerHTML;
  const look = async () => {
    const chosen = live.querySelector("input:checked");
    if (document.hidden || chosen || live.contains(getSelectionNode())) return;
    try {
      const fresh = await renewed("live");
      if (!fresh || fresh.innerHTML === old) return;
      old = fresh.innerHTML;
      const focused = live.contains(document.activeElement) && document.activeElement.getAttribute("href");
      const left = live.querySelector(".scroll")?.scrollLeft ?? 0;
      live.replaceChildren(...fresh.childNodes);
      if (focused) live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
      const box = live.querySelector(".scroll");
      if (box) box.scrollLeft = left;
      if (live.dataset.live && !fresh.dataset.live) location.reload();
    } catch (error) {
      announce(`The server does not answer: ${error.message}`);
    }
  };
  const again = async () => {
    const began = performance.now();
    await look();
    setTimeout(again, Math.max(EVERY, 10 * (performance.now() - began)));
  };
  setTimeout(again, EVERY);
}

function getSelectionNode() {
  const selection = getSelection();
  return selection && !selection.isCollapsed ? selection.anchorNode : null;
}

// ---------------------------------------------------------------------------------------------- one run

function followRun(run) {
  const log = document.getElementById("log");
  let offset = run.dataset.offset;
  let status = "";
  let stream = null;
  const open = () => {
    stream = new EventSource(`/api/runs/${run.dataset.id}/events?offset=${offset}`);
    stream.addEventListener("state", (event) => {
      const state = JSON.parse(event.data);
      if (status && status !== state.status) announce(`The run is ${state.status}`);
      status = state.status;
      showStatus(state);
      showProgress(state);
      showMetrics(state.metrics);
    });
    stream.addEventListener("log", (event) => {
      const piece = JSON.parse(event.data);
      offset = piece.offset;
      addToLog(log, piece);
    });
    stream.addEventListener("end", () => {
      stream.close();
      document.removeEventListener("visibilitychange", turn);
      showEnd(run, status);
    });
  };
  // A browser opens only a few connections to a server: a page that nobody sees must not keep one.
  const turn = () => {
    if (document.hidden) stream.close();
    else if (stream.readyState === EventSource.CLOSED) open();
  };
  document.addEventListener("visibilitychange", turn);
  open();
}

async function showEnd(run, status) {
  announce(`The run has ended: ${status}`);
  const fresh = await renewed("run");
  if (!fresh) return;
  run.replaceWith(fresh);
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  const log = document.getElementById("log");
  log.scrollTop = log.scrollHeight;
  document.title = document.title.replace(/^[A-Z]+/, status);
}

function showStatus(state) {
  const badge = document.querySelector("#status .status");
  badge.className = `status s-${state.status} k-${state.look}`;
  const symbol = document.createElement("span");
  symbol.setAttribute("aria-hidden", "true");
  symbol.textContent = state.symbol;
  badge.replaceChildren(symbol, ` ${state.status}`);
  const reason = document.getElementById("reason");
  reason.textContent = state.reason ?? "";
  reason.className = `reason k-${state.look}`;
}

function showProgress(state) {
  const place = document.getElementById("progress");
  if (!state.progress) return;
  let bar = place.querySelector("progress");
  if (!bar) {
    bar = document.createElement("progress");
    bar.setAttribute("aria-label", "Progress");
    const text = document.createElement("span");
    text.className = "progress-text";
    place.replaceChildren(bar, " ", text);
  }
  if (state.progress_share === null) bar.removeAttribute("value");
  else bar.value = state.progress_share;
  place.querySelector(".progress-text").textContent = state.progress_text;
}

function showMetrics(metrics) {
  const names = Object.keys(metrics);
  const section = document.getElementById("metrics");
  section.hidden = names.length === 0;
  section.querySelector("dl").replaceChildren(...names.map((name) => {
    const [box, key, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
    key.textContent = name;
    value.textContent = metrics[name].text;
    box.append(key, value);
    return box;
  }));
}

function addToLog(log, piece) {
  const follow = document.getElementById("follow")?.checked;
  if (piece.skipped) log.append(`\n[${piece.skipped} bytes are left out here]\n`);
  log.append(readable(piece.text));
  if (log.childNodes.length > 50) {
    const lines = log.textContent.split("\n");
    log.textContent = lines.slice(-MOST_LINES).join("\n");
  }
  if (follow) log.scrollTop = log.scrollHeight;
}

// ---------------------------------------------------------------------------------------------- tables

// What a cell counts as: a number, or else a text. Empty cells and nan come last.
function sortKey(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = text === "" ? NaN : Number(text.replace(/^(-?)inf$/, "$1Infinity"));
  return { text, number, last: text === "" || text === "nan" };
}

function compareKeys(a, b, sign) {
  if (a.last || b.last) return a.last - b.last;
  if (!isNaN(a.number) && !isNaN(b.number)) return sign * (a.number - b.number || 0);
  if (isNaN(a.number) !== isNaN(b.number)) return sign * (isNaN(a.number) ? 1 : -1);
  return sign * a.text.localeCompare(b.text);
}

function sortBy(table, head) {
  const ascending = head.getAttribute("aria-sort") !== "ascending";
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => [sortKey(row, head.cellIndex), row]);
  keyed.sort(([a], [b]) => compareKeys(a, b, ascending ? 1 : -1));
  body.append(...keyed.map(([, row]) => row));
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
}

function makeSortable(table) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, head));
    head.append(button);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  const live = document.getElementById("live");
  const run = document.getElementById("run");
  const log = document.getElementById("log");
  const choose = document.querySelector(".choose:not([data-filtered])");
  if (choose && innerWidth < 640) choose.open = false; // a phone has no room for what is not used
  if (log) log.scrollTop = log.scrollHeight;
  if (live?.dataset.live) followList(live);
  if (run?.dataset.live) followRun(run);
});
