/** An error that Redis answered; `code` is its first word, such as `NOSCRIPT`. */
export class ReplyError extends Error {
  readonly code: string;

  constructor(message: string) {
    super(message);
    this.name = "ReplyError";
    this.code = message.split(" ", 1)[0] as string;
  }
}

/** Maps come as flat lists of key, value, key, value; booleans as 1 and 0; doubles and big numbers as text. */
export type Reply = string | number | null | ReplyError | Reply[];

/** A list that is still being read. */
interface OpenList {
  readonly items: Reply[];
  left: number;
  readonly isPush: boolean;
}

const CR = 13;
const MINUS = 45;
const ZERO = 48;

/**
 * Reads RESP3 (https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md) as it arrives.
 *
 * A value that is not there as a whole is kept until it is, lists item by item: however a large reply is cut
 * into pieces, each of its bytes is looked at once and copied at most twice.
 */
export class ReplyParser {
  readonly #onReply: (reply: Reply) => undefined;
  readonly #onPush: (items: Reply[]) => undefined;
  readonly #open: OpenList[] = [];
  #held: Buffer[] = [];
  #heldBytes = 0;
  #wantedBytes = 0;

  constructor(onReply: (reply: Reply) => undefined, onPush: (items: Reply[]) => undefined) {
    this.#onReply = onReply;
    this.#onPush = onPush;
  }

  /** Takes the next bytes; throws when they cannot come from Redis. */
  feed(bytes: Buffer): void {
    if (this.#heldBytes === 0) {
      this.#read(bytes);
      return;
    }
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes < this.#wantedBytes) return;
    const together = Buffer.concat(this.#held, this.#heldBytes);
    this.#held = [];
    this.#heldBytes = 0;
    this.#read(together);
  }

  #read(data: Buffer): undefined {
    let at = 0;
    while (at < data.length) {
      const end = endOfLine(data, at + 1);
      if (end < 0) return this.#hold(data, at, data.length - at + 1);
      const type = data[at] as number;
      let next = end + 2;
      let value: Reply;
      switch (String.fromCharCode(type)) {
        case "$":
        case "=":
        case "!": {
          const length = integer(data, at + 1, end);
          if (length < 0) value = null;
          else {
            next = end + 2 + length + 2;
            if (next > data.length) return this.#hold(data, at, next - at);
            const text = data.toString("utf8", end + 2, end + 2 + length);
            if (type === 33) value = new ReplyError(text);
            else value = type === 61 ? text.slice(4) : text; // Verbatim text starts with its format, "txt:".
          }
          break;
        }
        case ":":
          value = integer(data, at + 1, end);
          break;
        case "*":
        case "~":
        case ">":
        case "%": {
          const count = integer(data, at + 1, end) * (type === 37 ? 2 : 1);
          if (count > 0) {
            this.#open.push({ items: [], left: count, isPush: type === 62 });
            at = next;
            continue;
          }
          value = count < 0 ? null : [];
          break;
        }
        case "+":
        case ",":
        case "(":
          value = data.toString("utf8", at + 1, end);
          break;
        case "-":
          value = new ReplyError(data.toString("utf8", at + 1, end));
          break;
        case "_":
          value = null;
          break;
        case "#":
          value = data[at + 1] === 116 ? 1 : 0;
          break;
        default:
          throw new Error(
            `this is not Redis: it said ${JSON.stringify(data.toString("latin1", at, at + 40))}`,
          );
      }
      at = next;
      this.#place(value);
    }
  }

  #place(whole: Reply): undefined {
    let value = whole;
    for (;;) {
      const list = this.#open.at(-1);
      if (list === undefined) return this.#onReply(value);
      list.items.push(value);
      list.left -= 1;
      if (list.left > 0) return;
      this.#open.pop();
      if (list.isPush) return this.#onPush(list.items);
      value = list.items;
    }
  }

  /** Keeps what follows `at` until so many bytes of it are there. */
  #hold(data: Buffer, at: number, wantedBytes: number): undefined {
    this.#held = [data.subarray(at)];
    this.#heldBytes = data.length - at;
    this.#wantedBytes = wantedBytes;
  }
}

/** Where the "\r" of the line is, -1 when its "\n" has not come yet. */
function endOfLine(data: Buffer, from: number): number {
  let at = from;
  while (at < data.length && data[at] !== CR) at += 1;
  return at + 1 < data.length ? at : -1;
}

function integer(data: Buffer, from: number, end: number): number {
  const isNegative = data[from] === MINUS;
  let value = 0;
  for (let at = isNegative ? from + 1 : from; at < end; at += 1)
    value = value * 10 + ((data[at] as number) - ZERO);
  return isNegative ? -value : value;
}
