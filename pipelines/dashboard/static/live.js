// Shows the page anew, as the server renders it, whenever the server tells of news.
"use strict";

const marked = () =>
  new Set([...document.querySelectorAll("#live input:checked")].map((box) => box.value));

async function renew() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const [now, next] = [document, page].map((each) => each.getElementById("live"));
  if (!now || !next || now.innerHTML === next.innerHTML) return;
  const kept = marked();
  const open = new Set([...now.querySelectorAll("details[open]")].map((each) => each.id));
  // What somebody is using must not vanish under their hands.
  const focused = now.contains(document.activeElement) ? place(now, document.activeElement) : -1;
  now.replaceChildren(...next.childNodes);
  for (const box of now.querySelectorAll("input[type=checkbox]")) box.checked = kept.has(box.value);
  for (const each of now.querySelectorAll("details")) each.open = open.has(each.id);
  if (focused >= 0) focusable(now)[focused]?.focus({ preventScroll: true });
}

const focusable = (root) => [...root.querySelectorAll("a, button, input, summary, [tabindex]")];
const place = (root, element) => focusable(root).indexOf(element);

let news = null;

function listen() {
  let isFirst = news === null;
  news = new EventSource("/events");
  news.onmessage = () => {
    // The very first message tells of what this page shows already.
    if (!isFirst) renew();
    isFirst = false;
  };
}

listen();
// A browser has but a few connections to a server, and a page that nobody looks at needs none.
document.addEventListener("visibilitychange", () => {
  news.close();
  if (!document.hidden) listen();
});
