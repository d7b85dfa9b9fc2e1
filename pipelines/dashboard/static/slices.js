// One slice at a time, chosen by a slider; without this, they lie side by side.
"use strict";

for (const slices of document.querySelectorAll(".slices")) {
  const images = [...slices.querySelectorAll("img")];
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = 1;
  slider.max = images.length;
  slider.setAttribute("aria-label", slices.getAttribute("aria-label"));
  const show = () => images.forEach((image, place) => (image.hidden = place + 1 !== Number(slider.value)));
  slider.value = Math.ceil(images.length / 2);
  slider.addEventListener("input", show);
  slices.removeAttribute("tabindex");
  slices.classList.add("one");
  slices.append(slider);
  show();
}
