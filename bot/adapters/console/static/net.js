// Requests to our own server, and the words the scripts show.
export const words = JSON.parse(document.body.dataset.words || "{}");
const lang = document.body.dataset.lang || "zh";

export class Problem extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export async function ask(path, { method = "GET", body } = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { "X-Warroom": "console", ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(15000),
    });
  } catch {
    throw new Problem(0, words.offline);
  }
  const json = (answer.headers.get("content-type") || "").includes("json");
  const content = json ? await answer.json() : await answer.text();
  if (answer.status === 401 || answer.redirected) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Problem(401, words.signed_out);
  }
  if (!answer.ok) throw new Problem(answer.status, (json && content.error && content.error[lang]) || words.offline);
  return content;
}

export function setLink(state) {
  const link = document.querySelector("[data-link]");
  if (!link || link.dataset.link === state) return;
  link.dataset.link = state;
  link.querySelector("[data-link-text]").textContent = words[state];
}

const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: document.body.dataset.zone || undefined,
});
export const timeOf = (date) => clock.format(date);
