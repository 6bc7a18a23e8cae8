// Keeps a job's page up to date. Without it every page is complete as it was sent; nothing else needs a script.
"use strict";

(() => {
  const main = document.getElementById("main");
  const skew = Number(main.dataset.now) - Date.now() / 1000;

  // The server's fragments are escaped there; this is the only way in which text becomes markup here.
  const policy = globalThis.trustedTypes
    ? globalThis.trustedTypes.createPolicy("beacon", { createHTML: (text) => text })
    : { createHTML: (text) => text };

  function element(html) {
    const template = document.createElement("template");
    template.innerHTML = policy.createHTML(html);
    return template.content.firstElementChild;
  }

  // htmx, on the pages that bring it, makes markup of the server's fragments through the same policy. The script
  // stands after this one, and starts when the page is read.
  document.addEventListener("DOMContentLoaded", () => {
    globalThis.htmx?.registerExtension("beacon", { init: (api) => api.initSecurity(policy) });
  });

  // ------------------------------------------------------------------ forms that are sent once

  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.once === "sent") event.preventDefault();
      else if (!event.submitter?.hasAttribute("formaction")) form.dataset.once = "sent";
    });
  }
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-once]")) form.dataset.once = "";
  });

  // ------------------------------------------------------------------ swapping

  // The element stays and takes over the new one's attributes and children, so that what holds the focus, and
  // what was unfolded, is so afterwards.
  function swap(old, html) {
    if (old.id.startsWith("c-")) {
      old.replaceChildren(...element(`<div>${html}</div>`).childNodes);
      return;
    }
    const fresh = element(html);
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const typed = [...old.querySelectorAll("input[id]")].map((field) => [field.id, field.value]);
    const unfolded = [...old.querySelectorAll("details[open]")].map((details) => details.id);
    for (const name of old.getAttributeNames()) {
      if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const name of fresh.getAttributeNames()) old.setAttribute(name, fresh.getAttribute(name));
    old.replaceChildren(...fresh.childNodes);
    for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
    for (const [id, value] of typed) {
      const field = document.getElementById(id);
      if (field) field.value = value;
    }
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  // All at once, since each look at the layout between changes has the browser lay the whole matrix out anew. Where
  // much moves, a flash of everything would say nothing.
  const mostFlashes = 40;
  function flash(cells) {
    if (!cells.length || cells.length > mostFlashes) return;
    for (const cell of cells) cell.classList.remove("flash");
    void cells[0].offsetWidth;
    for (const cell of cells) cell.classList.add("flash");
  }

  // The marks of a cell, given as one digit each; what is told of them to those who do not see, as the server does.
  const toldOrder = ["completed", "failed", "timed-out", "cancelled", "retrying", "running", "pending"];
  function mark(cell, digits, kinds) {
    const counts = {};
    const uses = cell.querySelectorAll("use");
    uses.forEach((use, place) => {
      const kind = kinds[digits[place]];
      counts[kind] = (counts[kind] || 0) + 1;
      if (use.getAttribute("class") === `s-${kind}`) return;
      use.setAttribute("class", `s-${kind}`);
      use.setAttribute("href", `#g-${kind}`);
    });
    const parts = toldOrder.filter((kind) => counts[kind]).map((kind) => `${counts[kind]} ${kind.replace("-", " ")}`);
    cell.querySelector(".vh").textContent = counts.pending === uses.length ? "nothing yet" : parts.join(", ");
  }

  // ------------------------------------------------------------------ what the page measures of itself

  function report(measured) {
    if (!document.documentElement.dataset.role) return; // nobody is signed in yet
    const body = JSON.stringify({ measured });
    fetch("/measurements", { method: "POST", headers: { "Content-Type": "application/json" }, body, keepalive: true })
      .catch(() => {});
  }

  addEventListener("load", () => setTimeout(() => {
    const [load] = performance.getEntriesByType("navigation");
    if (load?.loadEventEnd) report({ kind: "portal_load_ms", value: load.loadEventEnd });
  }));

  // ------------------------------------------------------------------ the stream

  const live = document.getElementById("live");
  if (live) {
    const lost = document.getElementById("lost");
    const matrix = document.querySelector(".mx");
    const kinds = live.dataset.kinds.split(" ");
    const firstPause = 500;
    const longestPause = 5000;
    let seq = Number(live.dataset.seq);
    let over = live.hasAttribute("data-over");
    let pause = firstPause;
    let source = null;
    let waiting = 0;

    // What is shown is read from the page, and compared by the server with the database at the same seq.
    const checkEvery = 5000;
    let checked = -checkEvery;
    const check = () => {
      checked = performance.now();
      const counts = {};
      for (const figure of document.querySelectorAll("[data-count]")) {
        counts[figure.dataset.count] = Number(figure.firstChild.textContent.replaceAll(",", ""));
      }
      report({ kind: "live", job_id: live.dataset.live.split("/")[2], seq, counts });
    };

    const take = (event) => {
      const update = JSON.parse(event.data);
      const moved = [];
      for (const [id, html] of Object.entries(update.html)) {
        const old = document.getElementById(id);
        if (!old) continue;
        swap(old, html);
        if (id.startsWith("c-")) moved.push(old.parentElement);
      }
      for (const [number, digits] of Object.entries(update.marks)) {
        const cell = document.getElementById(`c-${number}`);
        mark(cell, digits, kinds);
        moved.push(cell.parentElement);
      }
      flash(moved);
      seq = update.seq;
      over = update.over;
      document.title = update.title;
      live.dataset.seq = String(seq);
      live.toggleAttribute("data-over", over);
      connected();
      if (over || performance.now() - checked > checkEvery) check();
      if (over) close();
    };

    const connected = () => {
      pause = firstPause;
      lost.hidden = true;
      matrix.classList.add("is-live");
      document.body.classList.remove("is-still");
    };

    const close = () => {
      clearTimeout(waiting);
      source?.close();
      source = null;
    };

    const broken = () => {
      close();
      if (over) return;
      document.getElementById("lost-seq").textContent = seq.toLocaleString("en");
      lost.hidden = false;
      matrix.classList.remove("is-live");
      document.body.classList.add("is-still");
      waiting = setTimeout(open, pause);
      pause = Math.min(2 * pause, longestPause);
    };

    const open = () => {
      close();
      source = new EventSource(`${live.dataset.live}?after=${seq}`);
      source.addEventListener("message", take);
      source.addEventListener("open", connected);
      source.addEventListener("error", broken);
    };

    // A browser allows a server few connections, so a page that nobody sees keeps none. When it is seen again it
    // catches up, also where the job had ended and was retried meanwhile.
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    addEventListener("pageshow", (event) => event.persisted && open());
    if (!over && !document.hidden) open();
  }

  // ------------------------------------------------------------------ running times

  function told(seconds) {
    if (seconds < 99.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 6000) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    const minutes = Math.floor(whole / 60);
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  setInterval(() => {
    for (const since of document.querySelectorAll("[data-since]")) {
      since.textContent = told(Math.max(0, Date.now() / 1000 + skew - Number(since.dataset.since)));
    }
  }, 1000);
})();
