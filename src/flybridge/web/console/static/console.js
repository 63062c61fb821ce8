"use strict";
// Everything can be read without this script. It sorts and searches tables, opens rows under rows, shows what a chart
// has at a place, asks again when a filter changes, and puts live parts of a page in place.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const remember = (name, value) => {
    const url = new URL(location.href);
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
    history.replaceState(null, "", url);
  };
  const asked = (name) => new URL(location.href).searchParams.get(name) || "";

  // On a small screen the navigation is a row that scrolls: it begins where the page is.
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  // Tables: rows are moved together with the rows under them.
  for (const table of all("table[data-sortable]")) {
    const body = table.tBodies[0];
    const groups = [];
    for (const row of body.rows) {
      if (row.dataset.under) groups[groups.length - 1].under.push(row);
      else groups.push({ row, under: [], open: false });
    }
    const show = () => {
      const words = search ? search.value.trim().toLowerCase() : "";
      for (const group of groups) {
        const own = !words || group.row.cells[0].textContent.toLowerCase().includes(words);
        let below = false;
        for (const row of group.under) {
          const match = words && row.cells[0].textContent.toLowerCase().includes(words);
          below = below || match;
          row.hidden = words ? !match && !(own && group.open) : !group.open;
        }
        // What a long table has left out may be what is looked for: Enter asks for it.
        group.row.hidden = !own && !below && !("rest" in group.row.dataset);
      }
    };
    const search = document.querySelector(`[data-search="${table.id}"]`);
    if (search) {
      search.parentElement.hidden = false;
      search.value = asked("search");
      search.addEventListener("input", () => {
        show();
        remember("search", search.value);
      });
      // What a long table has left out is looked for where all of it is known.
      search.addEventListener("change", () => {
        if (table.querySelector("[data-rest]")) location.reload();
      });
    }
    groups.forEach((group) => {
      if (!group.under.length) return;
      const head = group.row.cells[0];
      const button = document.createElement("button");
      button.type = "button";
      button.className = "toggle";
      const name = head.textContent.trim().split("\n")[0];
      const set = (open) => {
        group.open = open;
        button.setAttribute("aria-expanded", open);
        button.setAttribute("aria-label", `${open ? "Close" : "Open"} ${name}`);
        show();
      };
      button.addEventListener("click", () => set(!group.open));
      head.prepend(button);
      set(false);
    });
    const heads = [...table.tHead.rows[0].cells];
    const sort = (at, down) => {
      const plain = (row) => row.cells[at].dataset.plain ?? row.cells[at].textContent;
      const compare = (one, other) => {
        if ("rest" in one.dataset || "rest" in other.dataset) return "rest" in one.dataset ? 1 : -1;
        const [left, right] = [plain(one), plain(other)];
        if (!left || !right) return left ? -1 : right ? 1 : 0; // not known comes last
        const order = at ? parseFloat(left) - parseFloat(right) : left.localeCompare(right);
        return down ? -order : order;
      };
      groups.sort((one, other) => compare(one.row, other.row));
      for (const group of groups) {
        group.under.sort(compare);
        body.append(group.row, ...group.under);
      }
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      heads[at].setAttribute("aria-sort", down ? "descending" : "ascending");
    };
    heads.forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      const label = head.querySelector(".label");
      button.textContent = (label || head).textContent;
      (label || head).replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : at > 0;
        sort(at, down);
        remember("sort", (down ? "-" : "") + head.dataset.key);
      });
    });
    const wanted = asked("sort");
    const at = heads.findIndex((head) => head.dataset.key === wanted.replace(/^-/, ""));
    if (wanted && at >= 0) sort(at, wanted.startsWith("-"));
    show();
  }

  // Filters: a choice is an answer. Dates wait for the button, because they are typed.
  for (const form of all("form[data-live]"))
    form.addEventListener("change", (event) => {
      if (event.target.tagName === "SELECT") form.requestSubmit();
    });

  // Charts: the text of a place, beside the pointer.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  for (const slot of all(".slots rect")) {
    const title = slot.querySelector("title");
    if (!title) continue;
    const text = title.textContent.replace(": ", "\n").replaceAll(", ", "\n");
    slot.addEventListener("pointermove", (event) => {
      title.remove(); // the browser would show it, too
      tip.textContent = text;
      tip.hidden = false;
      const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(8, left)}px`;
      tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 12)}px`;
    });
    slot.addEventListener("pointerleave", () => {
      slot.append(title);
      tip.hidden = true;
    });
  }

  // Live parts: asked for again while the page can be seen, and put in place if nothing in them has the focus.
  for (const part of all("[data-live-part]")) {
    const every = Number(part.dataset.every || 2000);
    const isUsed = () => part.contains(document.activeElement);
    const ask = async () => {
      if (!document.hidden && !isUsed()) {
        try {
          const answer = await fetch(part.dataset.livePart, { headers: { accept: "text/html" } });
          const text = await answer.text();
          if (answer.ok && !isUsed()) part.innerHTML = text; // the focus may have come while it was asked for
          part.dataset.state = answer.ok ? "live" : "lost";
        } catch {
          part.dataset.state = "lost";
        }
      }
      setTimeout(ask, every);
    };
    setTimeout(ask, every);
  }
})();
