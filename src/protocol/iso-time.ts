import type { EpochMs } from "../task/task.ts";

const FORM =
  /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:([Zz])|([+-])(\d\d):?(\d\d))$/;

/**
 * The instant of an ISO 8601 text, in whole epoch milliseconds (what is finer is cut off); undefined when the
 * text is not one, names a day or time that does not exist, or has no zone: a time without zone would mean
 * another instant on each machine. Source: RFC 3339, section 5.6, with seconds optional.
 */
export function parseIsoTime(text: string): EpochMs | undefined {
  const parts = FORM.exec(text);
  if (parts === null) return undefined;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map((part) => Number(part ?? 0)) as Six;
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const midnight = new Date(0);
  midnight.setUTCFullYear(year, month - 1, day);
  // A day that does not exist, the 30th of February, has become another one.
  if (midnight.getUTCMonth() !== month - 1 || midnight.getUTCDate() !== day) return undefined;
  const zoneMs = zoneOffsetMs(parts);
  if (zoneMs === undefined) return undefined;
  const ms = Number((parts[7] ?? "").slice(0, 3).padEnd(3, "0"));
  return midnight.getTime() + ((hour * 60 + minute) * 60 + second) * 1_000 + ms - zoneMs;
}

type Six = [number, number, number, number, number, number];

function zoneOffsetMs(parts: RegExpExecArray): number | undefined {
  if (parts[8] !== undefined) return 0;
  const [hours, minutes] = [Number(parts[10]), Number(parts[11])];
  if (hours > 23 || minutes > 59) return undefined;
  const ms = (hours * 60 + minutes) * 60_000;
  return parts[9] === "-" ? -ms : ms;
}
