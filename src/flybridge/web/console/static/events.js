"use strict";
// Follows events live. The page works without it.
(() => {
  const button = document.getElementById("live");
  const body = document.querySelector("#events tbody");
  if (!button || !body || !window.EventSource) return;
  const MOST = 200;
  const columns = [
    ["Received", "received"], ["App", "app"], ["Name", "name"], ["Media source", "media_source", "campaign"],
    ["Came through", "source"], ["Outcome", "outcome", "why"],
  ];
  const NAMES = new Set(["app", "name", "media_source", "campaign"]);
  const part = (row, key, kind) => {
    const span = document.createElement("span");
    span.className = [kind, NAMES.has(key) ? "long" : ""].join(" ").trim();
    span.textContent = row[key];
    return span;
  };
  let source = null;
  const add = (row) => {
    const line = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    const link = document.createElement("a");
    link.href = `/events/${encodeURIComponent(row.id)}`;
    link.textContent = row.id;
    head.append(link);
    line.append(head);
    for (const [label, key, more] of columns) {
      const cell = document.createElement("td");
      cell.dataset.of = label;
      cell.append(part(row, key, ""));
      if (more && row[more] && row[more] !== "-") cell.append(part(row, more, "remark"));
      line.append(cell);
    }
    for (const old of body.querySelectorAll("tr")) {
      if (old.firstElementChild.textContent.trim() === String(row.id)) old.remove();
    }
    body.prepend(line);
    while (body.rows.length > MOST) body.lastElementChild.remove();
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    if (source) {
      source.close();
      source = null;
    } else {
      source = new EventSource(`/events/tail?${button.dataset.query}`);
      source.onmessage = (message) => add(JSON.parse(message.data));
    }
    button.setAttribute("aria-pressed", String(Boolean(source)));
    button.textContent = source ? "Stop following" : "Follow live";
  });
})();
