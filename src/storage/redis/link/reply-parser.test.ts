import { describe, expect, it } from "vitest";
import { type Reply, ReplyError, ReplyParser } from "./reply-parser.ts";

function parsed(pieces: readonly Buffer[]): { replies: Reply[]; pushes: Reply[][] } {
  const replies: Reply[] = [];
  const pushes: Reply[][] = [];
  const parser = new ReplyParser(
    (reply) => void replies.push(reply),
    (items) => void pushes.push(items),
  );
  for (const piece of pieces) parser.feed(piece);
  return { replies, pushes };
}

function cut(bytes: Buffer, length: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += length) pieces.push(bytes.subarray(at, at + length));
  return pieces;
}

const WIRE = Buffer.from(
  [
    "+OK\r\n:-42\r\n:9007199254740991\r\n$5\r\nh\r\néo\r\n".replace("$5", "$6"),
    "$0\r\n\r\n$-1\r\n*-1\r\n_\r\n#t\r\n#f\r\n,3.25\r\n(12345678901234567890\r\n=7\r\ntxt:abc\r\n",
    "*0\r\n*3\r\n:1\r\n*2\r\n$1\r\na\r\n*1\r\n_\r\n$1\r\nb\r\n",
    "%2\r\n+one\r\n:1\r\n+two\r\n*1\r\n:2\r\n~2\r\n:1\r\n:2\r\n",
    ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n",
    "-ERR no such thing\r\n!10\r\nBUSY wait\n\r\n*2\r\n-OOM inside\r\n:1\r\n:7\r\n",
  ].join(""),
);

const REPLIES = [
  ...["OK", -42, Number.MAX_SAFE_INTEGER, "h\r\néo"],
  ...["", null, null, null, 1, 0, "3.25", "12345678901234567890", "abc"],
  ...[[], [1, ["a", [null]], "b"]],
  ...[
    ["one", 1, "two", [2]],
    [1, 2],
  ],
  ...[
    new ReplyError("ERR no such thing"),
    new ReplyError("BUSY wait\n"),
    [new ReplyError("OOM inside"), 1],
    7,
  ],
];

describe("what Redis says", () => {
  it("is read as texts, numbers, nulls, errors and lists, pushes apart", () => {
    expect(parsed([WIRE])).toEqual({ replies: REPLIES, pushes: [["message", "c", "hi"]] });
    expect(new ReplyError("NOSCRIPT No matching script").code).toBe("NOSCRIPT");
  });

  it("is the same however it is cut into pieces", () => {
    for (const length of [1, 2, 3, 5, 7, 64]) expect(parsed(cut(WIRE, length))).toEqual(parsed([WIRE]));
  });

  it("may be one text of megabytes in small pieces", () => {
    const text = "0123456789ü".repeat(500_000);
    const bytes = Buffer.from(`$${Buffer.byteLength(text)}\r\n${text}\r\n:1\r\n`);

    expect(parsed(cut(bytes, 1_400)).replies).toEqual([text, 1]);
  });

  it("is refused when it cannot be Redis", () => {
    expect(() => parsed([Buffer.from("HTTP/1.1 400 Bad Request\r\n")])).toThrow(
      'this is not Redis: it said "HTTP/1.1 400 Bad Request',
    );
  });
});
