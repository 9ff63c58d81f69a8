// The drawer on a phone, and the language switch.
import { ask } from "./net.js";

export function startMenu() {
  const button = document.querySelector("[data-menu]");
  const rail = document.getElementById("rail");
  const set = (open) => {
    document.body.classList.toggle("menu-open", open);
    button.setAttribute("aria-expanded", String(open));
    if (open) rail.querySelector("a, button")?.focus();
  };
  button.addEventListener("click", () => set(!document.body.classList.contains("menu-open")));
  document.querySelector("[data-menu-close]").addEventListener("click", () => set(false));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.body.classList.contains("menu-open")) { set(false); button.focus(); }
  });
  const room = document.querySelector("[data-feed]")?.dataset.room;
  if (!room) return; // elsewhere the links themselves do it
  for (const link of document.querySelectorAll("[data-language]")) {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      await ask(`/console/rooms/${encodeURIComponent(room)}/language`, { method: "POST", body: { lang: link.dataset.language } });
      location.reload();
    });
  }
}
