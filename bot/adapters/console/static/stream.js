// The room's events. EventSource comes back by itself after a break; a refused one (status 4xx/5xx) does not, so we do.
import { ask, setLink } from "./net.js";

const HIDDEN_MS = 60000; // browsers allow six connections to one server: a tab nobody looks at gives its own back

export function listen(room, { open, message, refresh }) {
  let source = null;
  let again = 0;
  let sleep = 0;

  function connect() {
    clearTimeout(again);
    source?.close();
    source = new EventSource(`/console/events?room=${encodeURIComponent(room)}`);
    source.addEventListener("open", () => { setLink("live"); open(); });
    source.addEventListener("message", (event) => message(JSON.parse(event.data)));
    source.addEventListener("refresh", refresh);
    source.addEventListener("error", () => {
      setLink("reconnecting");
      if (source.readyState !== EventSource.CLOSED) return;
      // Refused rather than broken: signed out (ask then leads to the login page) or not up yet.
      again = setTimeout(() => { ask(`/console/rail?room=${encodeURIComponent(room)}`).catch(() => {}); connect(); }, 2000);
    });
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(sleep);
    if (document.hidden) {
      sleep = setTimeout(() => { clearTimeout(again); source?.close(); source = null; }, HIDDEN_MS);
    } else if (!source) {
      connect();
    }
  });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  connect();
}
