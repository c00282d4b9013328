"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);
  root.classList.add("scripted");

  // What a chart tells where the pointer is: text only, so that a value of the table is never markup.
  const tip = document.createElement("div");
  tip.id = "tip"; tip.hidden = true; tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  const tell = (_handler, event, _item, value) => {
    tip.hidden = value === null || value === undefined || value === "";
    if (tip.hidden) return;
    tip.textContent = typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k}: ${v}`).join("\n") : String(value);
    const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(4, x)}px`; tip.style.top = `${event.clientY + 16}px`;
  };

  // On a phone the rows of a table of words stand one below the other, each cell beside the head of its column.
  all("table.words").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    [...table.tBodies[0].rows].forEach((row) => [...row.cells].forEach((cell, at) => {
      if (at && heads[at]) cell.dataset.head = heads[at];
    }));
  });

  // Charts: interpreted, so that no text is ever evaluated; with a loader that loads nothing.
  const nothing = () => Promise.reject(new Error("a report loads nothing"));
  const draw = async (place, spec) => {
    spec.config.axis.labelLimit = Math.max(70, Math.min(spec.config.axis.labelLimit, 0.45 * place.clientWidth));
    const compiled = vegaLite.compile(spec);
    const view = new vega.View(vega.parse(compiled.spec, null, { ast: true }), {
      renderer: "svg", container: place, hover: true, logLevel: vega.Warn, tooltip: tell,
      expr: vega.expressionInterpreter, loader: { load: nothing, sanitize: nothing, http: nothing, file: nothing },
    });
    await view.runAsync();
  };
  const drawAll = async () => {
    const specs = JSON.parse(one("specs").textContent);
    for (const place of all("[data-chart]")) {
      try { await draw(place, specs[place.dataset.chart]); } catch (problem) {
        place.parentElement.classList.add("failed"); place.remove(); console.error(problem);
      }
    }
    root.dataset.charts = "drawn";
  };

  // The buttons.
  const say = (text) => { one("status").textContent = ""; setTimeout(() => { one("status").textContent = text; }, 30); };
  const copied = (text) => {
    if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
    const field = document.createElement("textarea");
    field.value = text; field.className = "visually-hidden"; document.body.append(field); field.select();
    const done = document.execCommand("copy"); field.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("no clipboard"));
  };
  all("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => copied(one(button.dataset.copy).textContent).then(
      () => { button.textContent = "Copied"; say("Copied to the clipboard"); setTimeout(() => { button.textContent = "Copy"; }, 2000); },
      () => { getSelection().selectAllChildren(one(button.dataset.copy)); say("Selected; press Control and C to copy"); },
    ));
  });
  const theme = one("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const label = () => { theme.setAttribute("aria-pressed", String(isDark())); };
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; label(); });
  dark.addEventListener("change", label); label();
  const folded = () => all("main details");
  const unfold = one("unfold");
  unfold.addEventListener("click", () => {
    const open = unfold.getAttribute("aria-expanded") !== "true";
    folded().forEach((part) => { part.open = open; });
    unfold.setAttribute("aria-expanded", String(open)); unfold.textContent = open ? "Close all details" : "Open all details";
  });
  one("print").addEventListener("click", () => print());
  document.querySelector(".tools").hidden = false;

  // Paper has no details to open.
  let closed = [];
  addEventListener("beforeprint", () => { closed = all("details:not([open])"); closed.forEach((part) => { part.open = true; }); });
  addEventListener("afterprint", () => { closed.forEach((part) => { part.open = false; }); });
  if (matchMedia("(max-width: 67.99rem)").matches) document.querySelector(".contents details").open = false;

  // Which section is being read.
  const links = new Map(all(".contents a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    links.forEach((link) => link.removeAttribute("aria-current"));
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }), { rootMargin: "-10% 0px -75% 0px" });
  all("main > section[id]").forEach((section) => seen.observe(section));
  drawAll();
})();
