import type { Served } from "../processes/messages.ts";
import { PrimaryLink } from "../processes/primary-link.ts";
import { ProcessFailed, Supervisor } from "../processes/supervisor.ts";
import { type ErrorReport, type ExitCode, exitCodeOf, reportOf } from "./exit.ts";
import { portFor } from "./listening.ts";
import { guardText, openLog, type RunningServer, startServer } from "./serve.ts";
import { exitCodeAfter, Interrupted, interruption, type Session } from "./session.ts";

/** `dibs serve --processes`: one primary that only supervises, and as many processes as were asked for. */

/** Starts them on one port, and ends them when told to. */
export async function superviseAll({ config, output, signal }: Session): Promise<ExitCode> {
  const { logger } = await openLog(config);
  const port = await portFor(config.host, config.port);
  const supervisor = new Supervisor({
    processes: config.processes,
    args: [...process.argv.slice(2), "--port", String(port)],
    onNews: (level, text, about) => logger[level](about, text),
  });
  const ended = interruption(signal).then(async (interrupted) => {
    output.note("Draining; once more exits at once.");
    await supervisor.drain(interrupted.signal);
    return exitCodeAfter(interrupted);
  });
  try {
    const served = await supervisor.start();
    if (signal.aborted) return await ended;
    for (const warning of served.warnings) {
      logger.warn({}, warning);
      output.warn(warning);
    }
    const { url, place, durability, text } = served;
    const { pids } = supervisor;
    output.emit({ event: "ready", url, store: place, durability, pid: process.pid, processes: pids });
    const processes = `${pids.length} processes: ${pids.join(", ")}`;
    output.print(`dibs is ready at ${url}  (${text}; ${guardText(config)}; ${processes}; Ctrl-C stops)`);
  } catch (error) {
    if (signal.aborted) return ended;
    if (!(error instanceof ProcessFailed)) throw error;
    output.report(error.failure.report as ErrorReport);
    return error.failure.code as ExitCode;
  }
  return ended;
}

/** Serves as one of them: says nothing itself, ends when the primary or a signal says so, and with the primary. */
export async function serveAsOne(session: Session): Promise<ExitCode> {
  const { config, signal } = session;
  const link = new PrimaryLink();
  const warnings: string[] = [];
  let server: RunningServer;
  try {
    const { logger } = await openLog(config);
    server = await startServer(config, { logger, peers: link, onWarning: (text) => warnings.push(text) });
  } catch (error) {
    const report = reportOf(error);
    const { message } = report.error;
    await link.failed({ message, report, code: exitCodeOf(error) });
    return exitCodeOf(error);
  }
  link.ready({ url: server.url, ...server.store, warnings } satisfies Served, server.figures);
  const told = link.drain.then((name) => new Interrupted(name));
  const interrupted = await Promise.race([interruption(signal), told]);
  await server.close();
  return exitCodeAfter(interrupted);
}
