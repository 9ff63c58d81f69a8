// Pieces of a page that the server draws anew every few seconds, and at once when something happens.
import { ask, setLink } from "./net.js";

const SOON = 400;

export function startLive() {
  const pieces = [...document.querySelectorAll("[data-live]")].map((area) => new Piece(area));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) pieces.forEach((p) => p.soon()); });
  return () => pieces.forEach((piece) => piece.soon());
}

class Piece {
  constructor(area) {
    this.area = area;
    this.every = Number(area.dataset.every) * 1000;
    this.last = null;
    this.alone = !document.querySelector("[data-feed], [data-events]");
    this.plan(this.alone ? SOON : this.every);
  }
  plan(wait) {
    clearTimeout(this.timer);
    this.due = Date.now() + wait;
    this.timer = setTimeout(() => this.draw(), wait);
  }
  soon() { if (this.due > Date.now() + SOON) this.plan(SOON); }
  async draw() {
    if (document.hidden) { this.plan(this.every); return; }
    try {
      const html = await ask(this.area.dataset.live);
      if (this.alone) setLink("live");
      // Drawing what is there already would only throw away a selection or the focus.
      if (html !== this.last && !this.area.contains(document.activeElement?.closest("a, button, summary"))) {
        const top = this.area.scrollTop;
        this.area.innerHTML = html;
        this.area.scrollTop = top;
        this.last = html;
      }
    } catch {
      if (this.alone) setLink("reconnecting");
    }
    this.plan(this.every);
  }
}
