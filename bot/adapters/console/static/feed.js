// The room's messages: new ones join in order, edits replace in place, and what one is reading stays where it is.
import { ask, timeOf, words } from "./net.js";

const NEAR = 60; // px from a place that still count as being there

export class Feed {
  constructor(area) {
    this.area = area;
    this.room = area.dataset.room;
    this.newer = document.querySelector("[data-newer]");
    this.empty = area.querySelector("[data-empty]");
    this.articles().forEach(mark);
    this.area.addEventListener("scroll", () => {
      this.at = this.where();
      if (this.at) this.newer.hidden = true;
    }, { passive: true });
    this.newer.addEventListener("click", () => this.toEnd());
    // The area shrinks when a keyboard or the lab opens; whoever read the end keeps reading the end.
    new ResizeObserver(() => this.settle(this.at)).observe(area);
    this.toEnd();
  }

  get path() { return `/console/rooms/${encodeURIComponent(this.room)}`; }

  get bottom() { return this.area.scrollHeight - this.area.clientHeight; }

  // The end of the room is its last message; of one that is taller than the screen, its first line: there is the answer.
  get end() {
    const last = this.articles().at(-1);
    if (!last) return this.bottom;
    const top = last.getBoundingClientRect().top - this.area.getBoundingClientRect().top + this.area.scrollTop;
    return Math.max(0, Math.min(this.bottom, top - 6));
  }

  where() {
    if (Math.abs(this.area.scrollTop - this.end) < NEAR) return "end";
    return this.bottom - this.area.scrollTop < NEAR ? "bottom" : "";
  }

  settle(at) {
    if (at) this.area.scrollTop = at === "bottom" ? this.bottom : this.end;
  }

  toEnd() {
    this.at = "end";
    this.settle(this.at);
    this.newer.hidden = true;
  }

  async load() {
    try {
      this.keepPlace(await ask(`${this.path}/messages`));
    } catch { /* the connection mark says it, and the stream's next opening loads again */ }
  }

  show(row) { this.keepPlace([row]); }

  keepPlace(rows) {
    const { at } = this;
    const top = this.area.getBoundingClientRect().top;
    const anchor = at ? null : this.articles().find((a) => a.getBoundingClientRect().bottom > top);
    const was = anchor?.getBoundingClientRect().top;
    const key = anchor?.dataset.key;
    let added = false;
    for (const row of rows) added = this.apply(row) || added;
    if (this.empty) this.empty.hidden = this.articles().length > 0;
    if (at) {
      this.at = added ? "end" : at;
      this.settle(this.at);
    } else {
      const now = this.find(key);
      if (now) this.area.scrollTop += now.getBoundingClientRect().top - was;
      if (added) this.newer.hidden = false;
    }
  }

  articles() { return [...this.area.querySelectorAll(":scope > .msg")]; }

  find(key) { return key === undefined ? null : this.area.querySelector(`:scope > .msg[data-key="${CSS.escape(key)}"]`); }

  apply(row) {
    const old = this.find(row.key);
    if (old && row.rev !== null && old.dataset.rev && Number(old.dataset.rev) >= row.rev) return false;
    const fresh = parse(row.html);
    if (row.rev === null && old?.dataset.rev) fresh.dataset.rev = old.dataset.rev;
    if (old) {
      mark(fresh);
      const settle = carryOver(old, fresh);
      old.replaceWith(fresh);
      settle();
      return false;
    }
    fresh.dataset.fresh = "";
    mark(fresh);
    const at = Date.parse(row.at);
    const next = this.articles().find((a) => !("waiting" in a.dataset) && Date.parse(a.dataset.at) > at);
    const waiting = this.area.querySelector(":scope > .msg[data-waiting]");
    this.area.insertBefore(fresh, next || (Date.parse(waiting?.dataset.at) > at ? waiting : null));
    return true;
  }

  // What was typed is shown at once, under the key it will come back under.
  echo(key, text, user) {
    const article = document.createElement("article");
    article.className = "msg typed";
    Object.assign(article.dataset, { key, at: new Date().toISOString(), author: user, waiting: "", rev: "" });
    article.innerHTML = '<p class="byline"><b></b> <time></time></p><div class="body"><p class="para"><span></span></p></div>';
    article.querySelector("b").textContent = user;
    article.querySelector("time").textContent = timeOf(new Date());
    article.querySelector("span").textContent = text;
    mark(article);
    this.find(key)?.remove();
    this.area.append(article);
    if (this.empty) this.empty.hidden = true;
    this.toEnd();
  }

  failed(key, why, retry) {
    const article = this.find(key);
    if (!article || !("waiting" in article.dataset)) return;
    const line = document.createElement("p");
    line.className = "trouble";
    line.setAttribute("role", "alert");
    line.textContent = `${words.not_sent}${document.body.dataset.lang === "zh" ? "：" : ": "}${why}`;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = words.retry;
    button.addEventListener("click", retry);
    line.append(button);
    article.querySelector(".body").append(line);
    this.settle(this.at);
  }
}

function parse(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html.trim();
  return document.importNode(holder.content.firstElementChild, true);
}

// Commands are set in a fixed-width face, whoever draws them.
function mark(article) {
  if (article.classList.contains("typed") && /^[/／]/.test(article.querySelector(".body").textContent.trim())) article.classList.add("command");
}

// An edit must not close what somebody has opened, nor lose their place on the keyboard or in a wide table.
function carryOver(old, fresh) {
  for (const open of old.querySelectorAll("details[open][data-keep]")) {
    const same = fresh.querySelector(`details[data-keep="${CSS.escape(open.dataset.keep)}"]`);
    if (same) same.open = true;
  }
  const focusable = "button, summary, a, .scroll, .code";
  const focused = [...old.querySelectorAll(focusable)].indexOf(document.activeElement);
  const wide = old.querySelector(".matrix .scroll")?.scrollLeft || 0;
  return () => {
    const scroll = fresh.querySelector(".matrix .scroll");
    if (scroll && wide) scroll.scrollLeft = wide;
    if (focused >= 0) fresh.querySelectorAll(focusable)[focused]?.focus({ preventScroll: true });
  };
}
