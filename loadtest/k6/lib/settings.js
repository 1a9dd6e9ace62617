// What a run is told through the environment. A wrong value ends it before the first request.

/**
 * @param {string} name
 * @param {string} fallback
 */
export function text(name, fallback) {
  const given = __ENV[name];
  return given === undefined || given === "" ? fallback : given;
}

/**
 * @param {string} name
 * @param {number} fallback
 * @param {{ min?: number, max?: number }} [bounds]
 */
export function whole(name, fallback, { min = 0, max = Number.MAX_SAFE_INTEGER } = {}) {
  const given = text(name, String(fallback));
  const value = Number(given);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new Error(`Expected ${name} to be a whole number from ${min} to ${max}, got "${given}"`);
  return value;
}

/**
 * A length of time as k6 writes it: "30s", "1h30m", "500ms".
 *
 * @param {string} name
 * @param {string} fallback
 */
export function duration(name, fallback) {
  const given = text(name, fallback);
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(given))
    throw new Error(`Expected ${name} to be a duration such as 30s or 5m, got "${given}"`);
  return given;
}

/**
 * "1" or "0".
 *
 * @param {string} name
 * @param {boolean} fallback
 */
export function flag(name, fallback) {
  return whole(name, fallback ? 1 : 0, { max: 1 }) === 1;
}

/** Where the server is, without a slash at its end. `CODEQ_BASE_URL` is what the scripts of codeQ call it. */
export const url = text("DIBS_URL", text("CODEQ_BASE_URL", "http://127.0.0.1:4510")).replace(/\/+$/, "");

/** Empty for a server without tokens. */
export const token = text("DIBS_TOKEN", "");

/** How long a claimed task is ours, milliseconds. */
export const leaseMs = whole("LEASE_SECONDS", 60, { min: 1, max: 43200 }) * 1000;

/** How long a claim waits when nothing is ready, milliseconds. */
export const waitMs = whole("WAIT_SECONDS", 0, { max: 60 }) * 1000;

/** Whether a queue that holds unfinished tasks may be worked on: they are claimed and completed. */
export const takesOver = flag("TAKE_OVER", false);
