import type { LoadReport } from "./load-report.ts";
export function loadCharts(_report: LoadReport): readonly { readonly name: string; readonly svg: string }[] {
  return [];
}
