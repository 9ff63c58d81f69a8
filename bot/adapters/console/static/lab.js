// The lab beside the chat: which fault is on, how loaded the resolver is, and a phone that rings.
import { ask, words } from "./net.js";

const EVERY = 1000;
const KEPT = 60;
const WIDE = 240;
const HIGH = 72;

export function startLab() {
  const panel = document.querySelector("[data-lab]");
  const part = (name) => panel.querySelector(`[data-${name}]`);
  const select = part("lab-fault");
  const lift = part("lab-lift");
  const title = document.title;
  const seen = [];
  let ringing = null;
  let asked = 0;

  part("lab-toggle").addEventListener("click", () => open(!("open" in panel.dataset)));
  select.addEventListener("change", () => act("/lab/fault", { name: select.value }));
  lift.addEventListener("click", () => act("/lab/lift", {}));
  for (const key of panel.querySelectorAll("[data-digit]")) {
    key.addEventListener("click", () => ringing && act("/lab/phone", { key: ringing.key, digits: key.dataset.digit }));
  }

  function open(wide) {
    if (wide) panel.dataset.open = ""; else delete panel.dataset.open;
    part("lab-toggle").setAttribute("aria-expanded", String(wide));
  }

  async function act(path, body) {
    lift.setAttribute("aria-busy", "true");
    try { draw(await ask(path, { method: "POST", body }), (asked += 1)); } catch (problem) { trouble(problem.message); }
    lift.removeAttribute("aria-busy");
  }

  async function poll() {
    const turn = (asked += 1);
    try { draw(await ask("/lab/state"), turn); } catch { trouble(words.lab_away); }
    setTimeout(poll, document.hidden ? 5 * EVERY : EVERY);
  }

  function trouble(text) {
    part("lab-error").textContent = text;
    part("lab-error").hidden = !text;
  }

  function draw(state, turn) {
    if (turn < asked) return; // a newer question is out; its answer counts
    trouble("");
    faults(state);
    load(state.dns);
    phone(state.phone.calls);
  }

  function faults(state) {
    const lang = document.body.dataset.lang;
    if (select.options.length !== state.faults.length) {
      select.replaceChildren(...state.faults.map((fault) => new Option(fault.title[lang], fault.id)));
    }
    if (document.activeElement !== select && state.fault) select.value = state.fault;
    lift.disabled = !state.active;
    const now = part("lab-now");
    now.dataset.on = String(state.active);
    now.textContent = state.active ? words.fault_on : words.healthy_now;
  }

  function load(dns) {
    const round = (value) => Math.round(value).toLocaleString("en-US");
    part("lab-offered").textContent = round(dns.offered_qps);
    part("lab-answered").textContent = round(dns.answered_qps);
    part("lab-limit").textContent = dns.vpc_limit_qps ? round(dns.vpc_limit_qps) : "–";
    seen.push(dns);
    if (seen.length > KEPT) seen.shift();
    const most = Math.max(10, ...seen.map((d) => Math.max(d.offered_qps, d.vpc_limit_qps || 0))) * 1.12;
    const y = (value) => (HIGH - (value / most) * HIGH).toFixed(1);
    const line = (name) => seen.map((d, i) => `${i ? "L" : "M"}${(WIDE - ((seen.length - 1 - i) * WIDE) / (KEPT - 1)).toFixed(1)} ${y(d[name])}`).join("");
    part("spark-offered").setAttribute("d", line("offered_qps"));
    part("spark-answered").setAttribute("d", line("answered_qps"));
    part("spark-limit").setAttribute("d", dns.vpc_limit_qps ? `M0 ${y(dns.vpc_limit_qps)}H${WIDE}` : "");
  }

  function phone(calls) {
    const was = ringing?.key;
    // The one that has rung longest is picked up first.
    ringing = calls.filter((call) => call.state === "ringing").at(-1) || null;
    part("phone").dataset.state = ringing ? "ringing" : "quiet";
    part("keypad").hidden = !ringing;
    if (was !== ringing?.key || !ringing) {
      part("call-state").textContent = ringing ? words.ringing : words.quiet;
      part("call-person").textContent = ringing?.person || "";
      part("call-title").textContent = ringing?.title || "";
      part("call-text").textContent = ringing?.text || "";
    }
    document.title = ringing ? `☎ ${ringing.title}` : title;
    if (ringing) panel.dataset.ringing = ""; else delete panel.dataset.ringing;
    if (ringing && was !== ringing.key && matchMedia("(max-width: 1080px)").matches) open(true);
    part("calls").replaceChildren(...calls.filter((call) => call.state !== "ringing").slice(0, 4).map(line));
  }

  function line(call) {
    const item = document.createElement("li");
    const who = document.createElement("b");
    who.textContent = call.person;
    const what = document.createElement("span");
    what.textContent = words[`call_${call.state}`] || call.state;
    item.append(who, what);
    return item;
  }

  poll();
}
