"use strict";
// What pages do beyond links and forms. Each page works without it.

// The key `/` leads to the search box.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const search = document.querySelector("[data-shortcut='/']");
  if (search) {
    event.preventDefault();
    search.focus();
  }
});

// Graphs: larger and smaller by buttons and by the wheel with Ctrl, moved by dragging.
for (const canvas of document.querySelectorAll("[data-canvas]")) {
  const picture = canvas.querySelector("svg");
  const own = picture.getBoundingClientRect().width;
  let scale = 1;
  let drag = null;
  const zoom = (wanted, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) => {
    const before = scale;
    scale = Math.min(12, Math.max(0.05, wanted));
    const [left, top] = [canvas.scrollLeft + x, canvas.scrollTop + y].map((at) => at * (scale / before));
    Object.assign(picture.style, { width: `${own * scale}px`, height: "auto", maxWidth: "none", maxHeight: "none" });
    canvas.scrollTo(left - x, top - y);
  };
  const tools = canvas.parentElement.querySelector("[data-tools]");
  tools.hidden = false;
  tools.addEventListener("click", ({ target }) => {
    const { width, height } = picture.viewBox.baseVal;
    const whole = Math.min(canvas.clientWidth, (innerHeight * 0.76 * width) / height) / own;
    if (target.dataset.zoom) zoom(Number(target.dataset.zoom) * scale || whole);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const { left, top } = canvas.getBoundingClientRect();
    zoom(scale * (event.deltaY < 0 ? 1.15 : 1 / 1.15), event.clientX - left, event.clientY - top);
  }, { passive: false });
  canvas.addEventListener("dragstart", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", ({ button, pointerType, clientX, clientY }) => {
    if (button === 0 && pointerType === "mouse") drag = { x: clientX + canvas.scrollLeft, y: clientY + canvas.scrollTop, from: [clientX, clientY] };
  });
  addEventListener("pointermove", ({ clientX, clientY }) => {
    if (!drag) return;
    drag.moved ||= Math.hypot(clientX - drag.from[0], clientY - drag.from[1]) > 4;
    canvas.classList.toggle("dragged", Boolean(drag.moved));
    if (drag.moved) canvas.scrollTo(drag.x - clientX, drag.y - clientY);
  });
  addEventListener("pointerup", () => {
    canvas.classList.remove("dragged");
    // After the click that ends it.
    setTimeout(() => { drag = null; });
  });
  canvas.addEventListener("click", (event) => { if (drag?.moved) event.preventDefault(); }, true);
  // What is selected is in the middle at first.
  const selected = canvas.querySelector(".selected")?.getBoundingClientRect();
  const frame = canvas.getBoundingClientRect();
  if (selected) canvas.scrollTo(selected.x - frame.x + (selected.width - frame.width) / 2, selected.y - frame.y + (selected.height - frame.height) / 2);
  if (!canvas.dataset.near) continue;
  // Dots have no names in the page: the service says which one is near.
  const line = document.querySelector("[data-near-name]");
  const link = document.createElement("a");
  line.hidden = false;
  let waiting;
  let asked = 0;
  // Returns whether this is still what was asked last, and has a name.
  const name = async ({ clientX, clientY }) => {
    const at = new DOMPoint(clientX, clientY).matrixTransform(picture.getScreenCTM().inverse());
    const number = asked += 1;
    const near = await fetch(`${canvas.dataset.near}&x=${Math.round(at.x)}&y=${Math.round(at.y)}`).then((answer) => {
      // The session has ended: the page itself leads to the form, and back.
      if (answer.redirected) location.reload();
      return answer.ok && !answer.redirected && answer.json();
    }).catch(() => null); // Without a network, no dot has a name.
    if (!near || number !== asked) return false;
    link.textContent = near.name;
    link.href = near.address;
    line.append(link);
    return true;
  };
  canvas.addEventListener("pointermove", (event) => {
    clearTimeout(waiting);
    if (!drag) waiting = setTimeout(name, 100, event);
  });
  canvas.addEventListener("click", async (event) => {
    if (drag?.moved) return;
    clearTimeout(waiting);
    if (await name(event)) link.click();
  });
}
