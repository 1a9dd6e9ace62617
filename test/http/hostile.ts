import fc from "fast-check";
import { ROUTES, type Route, type RouteName } from "../../src/protocol/routes.ts";
import { schemaOf } from "../../src/protocol/validate.ts";
import { FILLINGS, pathOf } from "./witness.ts";

/** What a client can send to a route by mistake or on purpose, made from the route's own schemas. */

/** Values that some code somewhere does not expect. */
const HOSTILE: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1.5,
  1e308,
  -1e308,
  2 ** 31,
  2 ** 53,
  Number.MIN_VALUE,
  "",
  " ",
  "0",
  "-1",
  "NaN",
  "null",
  "\u0000",
  "\ud800",
  "\udc00x",
  "\u202e",
  "💩",
  "é",
  "x".repeat(70_000),
  "__proto__",
  "constructor",
  "toString",
  "../../etc/passwd",
  "emails~AAAAAAAAAAAAAAAA",
  "9999-12-31T23:59:59Z",
  "2026-13-01T00:00:00Z",
  [],
  {},
  [[]],
  [null],
  [{}],
  { length: 1e9 },
  { toJSON: 1 },
  { "": "" },
  Array(2_000).fill(0),
  { constructor: { prototype: {} } },
];
const hostile = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...HOSTILE) },
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: "binary" }),
);
/** Tokens that JSON has, or that look as if it had them. */
const TOKENS = [
  "1e400",
  "-1e400",
  "-0",
  "1e-400",
  "12345678901234567890123",
  "01",
  "NaN",
  "Infinity",
  "undefined",
  "'x'",
  '"\\ud800"',
  '"\\u0000"',
  '"\\x"',
  "{",
  "[",
  '"',
  "]]",
  "// ",
  "\u00a0",
  "nul",
];

/** All fields that the route's schema has, as paths into a body. */
function fieldsOf(route: Route): string[][] {
  if (route.body === undefined) return [[]];
  return [[], ...pathsIn(schemaOf(route.body) as Shape)];
}

interface Shape {
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
}

function pathsIn({ properties = {}, items }: Shape): string[][] {
  const members = Object.entries(properties).flatMap(([name, shape]) => [
    [name],
    ...pathsIn(shape).map((path) => [name, ...path]),
  ]);
  return items === undefined ? members : [...members, ["0"], ...pathsIn(items).map((path) => ["0", ...path])];
}

function withValue(body: unknown, path: readonly string[], value: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  const copy: Record<string, unknown> = Array.isArray(body) ? ([...body] as never) : { ...(body as object) };
  const inner = withValue(Object.hasOwn(copy, step) ? copy[step] : {}, rest, value);
  Object.defineProperty(copy, step, { value: inner, enumerable: true, configurable: true, writable: true });
  return copy;
}

/** Bodies for a route: near to what it takes, JSON that it does not take, and what is no JSON. */
export function bodiesFor(name: RouteName): fc.Arbitrary<string | Buffer> {
  const sound = FILLINGS[name].body ?? {};
  const near = fc
    .tuple(fc.constantFrom(...fieldsOf(ROUTES[name])), hostile)
    .map(([path, value]) => JSON.stringify(withValue(sound, path, value)) ?? "");
  const stray = fc
    .tuple(fc.string({ unit: "binary" }), hostile)
    .map(([field, value]) => JSON.stringify(withValue(sound, [field], value)) ?? "");
  const cut = fc.tuple(near, fc.nat()).map(([text, at]) => text.slice(0, at % (text.length + 1)));
  const spoiled = fc
    .tuple(near, fc.nat(), fc.constantFrom(...TOKENS), fc.nat(4))
    .map(([text, at, token, over]) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + token + text.slice(place + over);
    });
  const twice = fc
    .tuple(
      fc.constantFrom(...Object.keys(sound), "payload", "result"),
      fc.constantFrom(...TOKENS, '{"a":1}', "[]"),
    )
    .map(([field, token]) => JSON.stringify(sound).replace(/^\{/, `{"${field}":${token},`));
  const inPayload = fc
    .tuple(
      fc.constantFrom("payload", "result", "error", "tags"),
      fc.constantFrom(...TOKENS, deep(512), deep(513), deep(5_000)),
    )
    .map(([field, token]) =>
      JSON.stringify(sound).replace(
        /\}$/,
        `${sound && Object.keys(sound).length > 0 ? "," : ""}"${field}":${token}}`,
      ),
    );
  const nested = fc
    .tuple(fc.constantFrom("[", '{"a":', '[{"payload":['), fc.nat(50_000))
    .map(([open, depth]) => open.repeat(depth));
  return fc.oneof(
    { weight: 6, arbitrary: near },
    { weight: 2, arbitrary: spoiled },
    twice,
    stray,
    cut,
    inPayload,
    nested,
    fc.json(),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  );
}

function deep(depth: number): string {
  return "[".repeat(depth) + "]".repeat(depth);
}

/** Paths for a route: with anything in the places of ids and names, and anything asked for. */
export function pathsFor(name: RouteName): fc.Arbitrary<string> {
  const inPath = fc.oneof(
    fc.constantFrom(
      "emails",
      "emails~AAAAAAAAAAAAAAAA",
      "q",
      "..",
      ".",
      "%",
      "%00",
      "a/b",
      "~",
      "💩",
      "x".repeat(3_000),
      "__proto__",
    ),
    fc.string({ unit: "grapheme" }),
  );
  const asked = fc.dictionary(
    fc.oneof(fc.constantFrom("state", "limit", "cursor", "waitMs", "__proto__"), fc.string()),
    fc.oneof(
      fc.constantFrom("ready", "dead", "leased", "0", "1", "-1", "201", "1e3", "", "[]", "\u0000"),
      fc.string(),
    ),
    { maxKeys: 4 },
  );
  return fc.tuple(inPath, asked, fc.boolean()).map(([value, query, twice]) => {
    const params = { id: value, queue: value };
    const path = pathOf(ROUTES[name], {
      params: wellFormed(params),
      query: wellFormed({ ...FILLINGS[name].query, ...query }) as Record<string, string>,
    });
    return twice && path.includes("?") ? `${path}&${path.slice(path.indexOf("?") + 1)}` : path;
  });
}

function wellFormed(texts: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(texts).map(([key, value]) => [key.toWellFormed(), String(value).toWellFormed()]),
  );
}
