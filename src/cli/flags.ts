import { type Command, InvalidArgumentError, Option } from "commander";
import { flagOf, type SettingName, variableOf } from "../config.ts";
import type { BackoffPolicy } from "../task/backoff.ts";
import { EXIT_CODES_HELP } from "./exit.ts";

/** Flags that several commands share, said once. */

const SETTING_FLAGS: Readonly<Record<SettingName | "config", readonly [value: string, help: string]>> = {
  store: ["<place>", "where the tasks are: a folder, memory: or redis://… (default: ./data)"],
  durability: ["<mode>", "what an acknowledged task survives: process, power or none (default: process)"],
  prefix: ["<text>", "what the keys in Redis begin with (default: dibs)"],
  redisConnections: ["<number>", "connections for commands to each Redis (default: 2)"],
  redisTlsCa: ["<file>", "authorities to trust for rediss://, PEM"],
  redisTlsCert: ["<file>", "certificate to show a rediss:// that asks for one, PEM"],
  redisTlsKey: ["<file>", "its key, PEM"],
  strict: ["", "make errors of the warnings about how Redis is set up"],
  cache: ["<mode>", "keep tasks read by id for a moment while it pays: auto or off (default: auto)"],
  cacheTtlMs: ["<ms>", "how old such a task may be (default: 1000)"],
  processes: ["<number>", "processes that share the port, with a Redis store (default: 1)"],
  host: ["<address>", "address to listen on (default: 127.0.0.1)"],
  port: ["<number>", "port to listen on, 0 for any free one (default: 4510)"],
  tokens: ["<list>", "tokens that callers must show, separated by commas; better in the environment"],
  insecure: ["", "listen beyond loopback without tokens"],
  logLevel: ["<level>", "fatal, error, warn, info, debug, trace or silent (default: info)"],
  payloadBytesMax: ["<bytes>", "largest payload and result (default: 1048576)"],
  tasksMax: ["<number>", "most tasks that the store holds (default: 10000000)"],
  memoryBytesMax: [
    "<bytes>",
    "most memory for tasks and keys (default: auto, half of what the heap may take)",
  ],
  url: ["<address>", "the server to talk to (default: http://127.0.0.1:4510)"],
  token: ["<token>", "what to show a server that asks for one"],
  config: ["<file>", "file of settings, JSON with comments"],
};

/** Adds flags of settings, each with the name of its variable. */
export function withSettings(command: Command, names: readonly (SettingName | "config")[]): Command {
  for (const name of [...names, "config" as const]) {
    const [value, help] = SETTING_FLAGS[name];
    command.addOption(new Option(`${flagOf(name)} ${value}`.trim(), `${help} [${variableOf(name)}]`));
  }
  return command.option("--json", "speak JSON: one value a line on stdout, errors on stderr");
}

/** Adds the flags that say where the tasks are: a server, or a store opened in this process. */
export function withTarget(command: Command): Command {
  withSettings(command, ["url", "token"]);
  return command
    .option("--store <place>", "open this folder or redis://… instead of talking to a server")
    .option(
      "--prefix <text>",
      "with a redis:// store: what its keys begin with (default: dibs) [DIBS_PREFIX]",
    );
}

/** Adds examples and the exit codes to a command's help; `codes` says what this command means by them. */
export function withHelp(command: Command, examples: readonly string[], codes?: string): Command {
  const lines = examples.map((example) => `  $ ${example}`).join("\n");
  const detail = codes === undefined ? "" : `\n  here: ${codes}`;
  return command.addHelpText("after", `\nExamples:\n${lines}\n\n${EXIT_CODES_HELP}${detail}`);
}

/** A whole number; its bounds are the server's to say, because it names them. */
export function wholeNumber(text: string): number {
  if (!/^-?\d{1,15}$/.test(text)) throw new InvalidArgumentError("Expected a whole number.");
  return Number(text);
}

/** `key=value`, any number of times. */
export function tag(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Expected key=value.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

export interface BackoffFlags {
  readonly backoff?: BackoffPolicy["type"];
  readonly backoffBaseMs?: number;
  readonly backoffCapMs?: number;
  readonly backoffJitter?: BackoffPolicy["jitter"];
}

export function withBackoff(command: Command): Command {
  return command
    .addOption(
      new Option("--backoff <type>", "how the wait between attempts grows").choices([
        "fixed",
        "linear",
        "exponential",
      ]),
    )
    .option("--backoff-base-ms <ms>", "the first wait", wholeNumber)
    .option("--backoff-cap-ms <ms>", "the longest wait", wholeNumber)
    .addOption(
      new Option("--backoff-jitter <jitter>", "how waits are spread").choices(["none", "equal", "full"]),
    );
}

/** The fields of a backoff that were given; undefined when none was. */
export function backoffOf(flags: BackoffFlags): Partial<BackoffPolicy> | undefined {
  const given = present({
    type: flags.backoff,
    baseMs: flags.backoffBaseMs,
    capMs: flags.backoffCapMs,
    jitter: flags.backoffJitter,
  });
  return Object.keys(given).length === 0 ? undefined : given;
}

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The object without its undefined values, which the wire would refuse or JSON drop. */
export function present<T extends object>(object: T): Present<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Present<T>;
}
