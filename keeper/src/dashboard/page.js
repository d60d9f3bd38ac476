// Replaces sections of the overview as the keeper sends them, and copies addresses.
"use strict";

document.documentElement.classList.add("scripts");
const connection = document.getElementById("connection");

// A section with the keyboard's focus is replaced when the focus has left it.
const waiting = new Map();

function replace(id, html) {
  const before = document.getElementById(id);
  if (!before) return;
  if (before.contains(document.activeElement)) {
    waiting.set(id, html);
    return;
  }
  waiting.delete(id);
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const after = holder.content.firstElementChild;
  if (!after) return;
  const open = [...before.querySelectorAll("details")].map((details) => details.open);
  after.querySelectorAll("details").forEach((details, index) => { details.open = Boolean(open[index]); });
  before.replaceWith(after);
}

document.addEventListener("focusout", () => {
  setTimeout(() => [...waiting].forEach(([id, html]) => replace(id, html)));
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Without a secure context there is no clipboard: select the text for the person to copy.
    const text = document.createElement("textarea");
    text.value = button.dataset.copy;
    document.body.append(text);
    text.select();
    document.execCommand("copy");
    text.remove();
  }
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1200);
});

const events = new EventSource("/api/v1/events");
events.addEventListener("section", (event) => {
  const { id, html } = JSON.parse(event.data);
  replace(id, html);
});
events.addEventListener("open", () => {
  document.body.classList.remove("away");
  connection.textContent = "Live.";
});
events.addEventListener("error", () => {
  document.body.classList.add("away");
  connection.textContent = "The keeper does not respond: these figures are out of date. Reconnecting.";
});
