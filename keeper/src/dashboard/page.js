// Replaces sections of the page as the keeper sends them.
"use strict";

const connection = document.getElementById("connection");
const events = new EventSource("/api/events");

events.addEventListener("section", (event) => {
  const { id, html } = JSON.parse(event.data);
  const before = document.getElementById(id);
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const after = holder.content.firstElementChild;
  if (before && after) before.replaceWith(after);
});
events.addEventListener("open", () => {
  document.body.classList.remove("away");
  connection.textContent = "Live.";
});
events.addEventListener("error", () => {
  document.body.classList.add("away");
  connection.textContent = "The keeper does not respond: these figures are out of date. Reconnecting.";
});
