import { here } from "./here.js";

/** Waits for the answer, as k6 does: its scripts have no promises. */
export function request(method, url, body = null, params = {}) {
  here().outsideInit("http.request");
  const { headers = {}, tags = {}, timeout = "60s" } = params;
  const answer = here().exchange({ method, url, body, headers, timeoutMs: millisecondsOf(timeout) });
  here().emit("http_reqs", 1, tags);
  here().emit("http_req_duration", answer.duration, tags);
  here().emit("http_req_failed", answer.status >= 200 && answer.status < 400 ? 0 : 1, tags);
  return {
    status: answer.status,
    body: answer.body,
    error: answer.error,
    timings: { duration: answer.duration },
    json: () => JSON.parse(answer.body),
  };
}

function millisecondsOf(text) {
  return text.endsWith("ms") ? Number.parseFloat(text) : Number.parseFloat(text) * 1000;
}

export default {
  request,
  get: (url, params) => request("GET", url, null, params),
  post: (url, body, params) => request("POST", url, body, params),
  del: (url, body, params) => request("DELETE", url, body, params),
};
