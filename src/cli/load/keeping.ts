import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { LoadReport } from "../../lab/load/load-report.ts";
import { UsageError } from "../exit.ts";
import type { Output } from "../output.ts";

export interface KeepFlags {
  readonly save?: string;
  readonly report?: string;
  readonly svg?: string;
}

/** Says before the minutes of load, and not after them, that a file cannot be written. */
export async function makeRoom({ save, report, svg }: KeepFlags): Promise<void> {
  try {
    if (svg !== undefined) await mkdir(svg, { recursive: true });
    for (const file of [save, report]) {
      if (file === undefined) continue;
      await mkdir(dirname(resolve(file)), { recursive: true });
      await writeFile(file, "", { flag: "a" });
    }
  } catch (error) {
    throw new UsageError(`Nothing can be written there: ${(error as Error).message}`);
  }
}

export async function keepLoad(report: LoadReport, flags: KeepFlags, output: Output): Promise<void> {
  const { save, report: page, svg } = flags;
  if (save !== undefined) {
    await writeFile(save, `${JSON.stringify(report, null, 1)}\n`);
    output.note(`Report kept in ${save}`);
  }
  if (page !== undefined) {
    const { reportPage } = await import("../../lab/load/report-page.ts");
    await writeFile(page, reportPage(report));
    output.note(`Page kept in ${page}`);
  }
  if (svg !== undefined) {
    const { loadCharts } = await import("../../lab/load/load-charts.ts");
    for (const { name, svg: picture } of loadCharts(report))
      await writeFile(join(svg, `${report.scenario}-${name}.svg`), `${picture}\n`);
    output.note(`Charts kept in ${svg}`);
  }
}
