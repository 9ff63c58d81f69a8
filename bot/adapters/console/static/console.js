// Starts what the page has: every page has the menu and live pieces, the chat has a feed and a composer.
import { startComposer } from "./composer.js";
import { Feed } from "./feed.js";
import { startLab } from "./lab.js";
import { startLive } from "./live.js";
import { startMatrix } from "./matrix.js";
import { startMenu } from "./menu.js";
import { listen } from "./stream.js";

startMenu();
startMatrix();
const refreshPieces = startLive();

const area = document.querySelector("[data-feed]");
if (area) {
  const feed = new Feed(area);
  startComposer(feed);
  listen(area.dataset.room, {
    open: () => feed.load(),
    message: (row) => { feed.show(row); refreshPieces(); },
    refresh: () => location.reload(),
  });
} else {
  const watched = document.querySelector("[data-events]");
  if (watched) listen(watched.dataset.events, { open: refreshPieces, message: refreshPieces, refresh: refreshPieces });
}
if (document.querySelector("[data-lab]")) startLab();
