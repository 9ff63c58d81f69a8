// Typing: Enter sends, Arrow Up brings earlier lines back, Tab or the arrows take a suggested command.
import { ask } from "./net.js";

const KEPT = 50;
const SHOWN = 8;

export function startComposer(feed) {
  const form = document.querySelector("[data-composer]");
  const input = form.elements.text;
  const user = document.body.dataset.user;
  const history = new History(`warroom:said:${feed.room}`);
  const hints = new Hints(input, document.getElementById("hints"));

  // "said-" marks ids of the browser's choosing: the server lets no other id name a message.
  async function say(text, id = `said-${crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`}`) {
    feed.echo(id, text, user);
    try {
      await ask(`${feed.path}/say`, { method: "POST", body: { text, id } });
    } catch (problem) {
      feed.failed(id, problem.message, () => say(text, id));
    }
  }

  function send() {
    const text = input.value.trim();
    if (!text) return;
    history.add(text);
    input.value = "";
    hints.close();
    say(text);
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); send(); input.focus(); });
  input.addEventListener("input", () => { history.rest(); hints.update(); });
  input.addEventListener("blur", () => setTimeout(() => hints.close(), 150));
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return; // an input method is at work: Enter chooses characters
    const browsing = history.browsing || !input.value;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (!hints.take()) send();
    } else if (event.key === "Tab" && !event.shiftKey && hints.open && input.value) {
      event.preventDefault();
      hints.take(true);
    } else if (event.key === "Escape") {
      hints.close();
    } else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && hints.open && !browsing) {
      event.preventDefault();
      hints.move(event.key === "ArrowUp" ? -1 : 1);
    } else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && browsing) {
      const line = event.key === "ArrowUp" ? history.older(input.value) : history.newer();
      if (line === null) return;
      event.preventDefault();
      input.value = line;
      input.setSelectionRange(line.length, line.length);
      hints.close();
    }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-command]:is(button)");
    if (!button || button.getAttribute("aria-busy") === "true") return;
    // A second press by an impatient finger is not a second command.
    button.setAttribute("aria-busy", "true");
    setTimeout(() => button.removeAttribute("aria-busy"), 1200);
    say(button.dataset.command);
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); input.focus(); }
  });
  if (matchMedia("(hover: hover)").matches) input.focus({ preventScroll: true });
}

class History {
  constructor(key) {
    this.key = key;
    this.place = -1;
    try { this.lines = JSON.parse(sessionStorage.getItem(key)) || []; } catch { this.lines = []; }
  }
  get browsing() { return this.place >= 0; }
  rest() { this.place = -1; }
  add(line) {
    this.lines = [line, ...this.lines.filter((known) => known !== line)].slice(0, KEPT);
    this.rest();
    try { sessionStorage.setItem(this.key, JSON.stringify(this.lines)); } catch { /* private mode: this page only */ }
  }
  older() {
    if (this.place + 1 >= this.lines.length) return null;
    this.place += 1;
    return this.lines[this.place];
  }
  newer() {
    if (this.place < 0) return null;
    this.place -= 1;
    return this.place < 0 ? "" : this.lines[this.place];
  }
}

class Hints {
  constructor(input, list) {
    this.input = input;
    this.list = list;
    this.all = [...list.querySelectorAll("[role=option]")];
    this.shown = [];
    this.chosen = -1;
    list.addEventListener("pointerdown", (event) => {
      const item = event.target.closest("[role=option]");
      if (!item) return;
      event.preventDefault();
      this.choose(this.shown.indexOf(item));
      this.take();
    });
  }
  get open() { return !this.list.hidden; }
  update() {
    const typed = this.input.value.replace(/^／/, "/").toLowerCase();
    const fits = (item) => item.dataset.command.startsWith(typed) && item.dataset.command !== typed;
    this.shown = typed.startsWith("/") ? this.all.filter(fits).slice(0, SHOWN) : [];
    for (const item of this.all) item.hidden = !this.shown.includes(item);
    this.list.hidden = this.shown.length === 0;
    this.input.setAttribute("aria-expanded", String(this.open));
    this.choose(-1);
  }
  choose(index) {
    this.chosen = index;
    this.all.forEach((item) => item.setAttribute("aria-selected", String(item === this.shown[index])));
    const item = this.shown[index];
    if (item) { this.input.setAttribute("aria-activedescendant", item.id); item.scrollIntoView({ block: "nearest" }); }
    else this.input.removeAttribute("aria-activedescendant");
  }
  move(step) {
    const count = this.shown.length;
    this.choose(this.chosen < 0 ? (step > 0 ? 0 : count - 1) : (this.chosen + step + count) % count);
  }
  take(first = false) {
    const item = this.shown[this.chosen < 0 && first ? 0 : this.chosen];
    if (!this.open || !item) return false;
    this.input.value = `${item.dataset.command} `;
    this.update();
    return true;
  }
  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.choose(-1);
  }
}
