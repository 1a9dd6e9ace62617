/** A line of a stream of text, numbered from 1, or what is wrong with it. */
export type Line =
  | { readonly number: number; readonly text: string }
  | { readonly number: number; readonly fault: string };

/**
 * Cuts a stream of UTF-8 into lines. It reads on only when the last line was taken, so a fast producer waits
 * for a slow consumer, and it never holds more than one line of at most `bytesMax` and one chunk. A longer
 * line, or one that is no UTF-8, comes as a fault, and the lines after it are read.
 */
export async function* linesOf(chunks: AsyncIterable<Buffer>, bytesMax: number): AsyncGenerator<Line> {
  const line = new OpenLine(bytesMax);
  for await (const chunk of chunks) {
    let from = 0;
    for (let to = chunk.indexOf(0x0a); to >= 0; to = chunk.indexOf(0x0a, from)) {
      line.add(chunk.subarray(from, to));
      yield line.end();
      from = to + 1;
    }
    line.add(chunk.subarray(from));
  }
  if (!line.isEmpty) yield line.end();
}

class OpenLine {
  readonly #bytesMax: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  #number = 1;
  #bytes = 0;
  #parts: Buffer[] = [];

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  add(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > this.#bytesMax) this.#parts = [];
    else this.#parts.push(part);
  }

  end(): Line {
    const number = this.#number;
    const line = this.#bytes > this.#bytesMax ? this.#tooLong(number) : this.#decoded(number);
    this.#number += 1;
    this.#bytes = 0;
    this.#parts = [];
    return line;
  }

  #tooLong(number: number): Line {
    return { number, fault: `Expected a line of at most ${this.#bytesMax} bytes, got ${this.#bytes}` };
  }

  #decoded(number: number): Line {
    try {
      return { number, text: this.#decoder.decode(Buffer.concat(this.#parts)) };
    } catch {
      // The decoder's own message says no more than this.
      return { number, fault: "Expected UTF-8" };
    }
  }
}
