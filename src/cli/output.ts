import type { WriteStream } from "node:tty";
import { styleText } from "node:util";
import { type ErrorReport, reportOf } from "./exit.ts";
import { type Column, cut, plain, table } from "./table.ts";

type Style = Parameters<typeof styleText>[0];

const PROGRESS_EVERY_MS = 100;
const WIDTH = 80;

export interface Streams {
  readonly out: NodeJS.WritableStream;
  readonly err: NodeJS.WritableStream;
}

/**
 * What a command says. Results go to stdout, everything else to stderr. With `--json` stdout carries JSON and
 * nothing but JSON, one value a line. Colour and the moving progress line appear on a terminal only.
 */
export class Output {
  readonly json: boolean;
  readonly #out: NodeJS.WritableStream;
  readonly #err: NodeJS.WritableStream;
  #progressShown = false;
  #progressAt = Number.NEGATIVE_INFINITY;

  constructor(json: boolean, streams: Streams = { out: process.stdout, err: process.stderr }) {
    this.json = json;
    this.#out = streams.out;
    this.#err = streams.err;
  }

  /** A line for people, on stdout; nothing with `--json`. */
  print(line: string): void {
    if (!this.json) this.#write(this.#out, line);
  }

  /** A value for machines: a line of JSON on stdout; nothing without `--json`. */
  emit(value: unknown): void {
    if (this.json) this.#write(this.#out, JSON.stringify(value));
  }

  /** A table for people, the titles in bold. */
  table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): void {
    if (this.json) return;
    // A terminal that does not know its width says 0.
    const [titles, ...lines] = table(columns, rows, terminalOf(this.#out)?.columns || undefined);
    this.#write(this.#out, [this.styled("bold", titles as string), ...lines].join("\n"));
  }

  /** A remark for people, on stderr; nothing with `--json`. */
  note(line: string): void {
    if (!this.json) this.#write(this.#err, line);
  }

  warn(line: string): void {
    this.#write(this.#err, this.json ? JSON.stringify({ warning: line }) : `dibs: warning: ${line}`);
  }

  error(error: unknown): void {
    this.report(reportOf(error));
  }

  report(report: ErrorReport): void {
    const { code, message } = report.error;
    const text = `dibs: ${plainLines(message)} (${code})`;
    this.#write(this.#err, this.json ? JSON.stringify(report) : text);
  }

  /** Replaces the progress line on stderr, when that is a terminal; more often than can be read is too often. */
  progress(line: string): void {
    const terminal = terminalOf(this.#err);
    if (terminal === undefined || this.json) return;
    const now = performance.now();
    if (now - this.#progressAt < PROGRESS_EVERY_MS) return;
    this.#progressAt = now;
    this.#progressShown = true;
    this.#err.write(`\r\x1b[K${cut(plain(line), (terminal.columns || WIDTH) - 1)}`);
  }

  /** Removes the progress line. */
  endProgress(): void {
    if (this.#progressShown) this.#err.write("\r\x1b[K");
    this.#progressShown = false;
  }

  /** Empties the screen for the next picture of a `--watch`; a pipe gets an empty line between two. */
  nextPicture(): void {
    if (this.json) return;
    if (terminalOf(this.#out) !== undefined) this.#out.write("\x1b[H\x1b[2J");
    else this.#write(this.#out, "");
  }

  /** Coloured where the terminal shows colours and NO_COLOR is not set. */
  styled(style: Style, text: string): string {
    return terminalOf(this.#out)?.hasColors() ? styleText(style, text) : text;
  }

  #write(stream: NodeJS.WritableStream, line: string): void {
    this.endProgress();
    stream.write(`${line}\n`);
  }
}

function terminalOf(stream: NodeJS.WritableStream): WriteStream | undefined {
  return (stream as Partial<WriteStream>).isTTY === true ? (stream as WriteStream) : undefined;
}

/** Like {@link plain}, keeping the line ends of messages that have several lines. */
function plainLines(text: string): string {
  return text.split("\n").map(plain).join("\n");
}
