import type { LoadReport } from "./load-report.ts";
export function reportPage(report: LoadReport): string {
  return JSON.stringify(report);
}
