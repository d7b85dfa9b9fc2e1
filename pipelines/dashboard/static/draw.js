// A square to draw in: white on black, as the digits of MNIST are; sent as a PNG with the form.
"use strict";

const canvas = document.getElementById("canvas");
const field = document.getElementById("drawing");
const pen = canvas.getContext("2d", { willReadFrequently: true });
const SIZE = 112; // of the picture that is sent, in pixels
const INK = 0.72; // its share that the drawing fills, as in MNIST: 20 of 28
let last = null;

function clear() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  field.value = "";
}

function at(event) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

function draw(event) {
  if (!last) return;
  const next = at(event);
  pen.strokeStyle = "#fff";
  pen.lineWidth = canvas.width / 14;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...last);
  pen.lineTo(...next);
  pen.stroke();
  last = next;
}

// The bounds of what is drawn; null of nothing.
function bounds() {
  const { data, width, height } = pen.getImageData(0, 0, canvas.width, canvas.height);
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let place = 0; place < data.length; place += 4) {
    if (data[place] < 64) continue;
    const x = (place / 4) % width;
    const y = Math.floor(place / 4 / width);
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
  }
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

function keep() {
  const ink = bounds();
  if (!ink) return;
  const copy = document.createElement("canvas");
  copy.width = copy.height = SIZE;
  const to = copy.getContext("2d");
  to.fillRect(0, 0, SIZE, SIZE);
  const scale = (SIZE * INK) / Math.max(ink.width, ink.height);
  const [width, height] = [ink.width * scale, ink.height * scale];
  to.imageSmoothingQuality = "high";
  to.drawImage(
    canvas, ink.left, ink.top, ink.width, ink.height,
    (SIZE - width) / 2, (SIZE - height) / 2, width, height,
  );
  field.value = copy.toDataURL("image/png");
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  last = at(event);
  draw(event);
});
canvas.addEventListener("pointermove", draw);
canvas.addEventListener("pointerup", () => {
  last = null;
  keep();
});
document.getElementById("clear").addEventListener("click", clear);

const before = field.value;
clear();
if (before.startsWith("data:image/png;base64,")) {
  field.value = before;
  const image = new Image();
  image.addEventListener("load", () => pen.drawImage(image, 0, 0, canvas.width, canvas.height));
  image.src = before;
}
document.getElementById("drawn").hidden = false;
