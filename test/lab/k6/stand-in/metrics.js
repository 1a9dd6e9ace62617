import { here } from "./here.js";

class Metric {
  constructor(name, isTime = false) {
    here().declare(name, this.constructor.name.toLowerCase(), isTime);
    this.name = name;
  }

  add(value, tags = {}) {
    here().outsideInit(`${this.name}.add`);
    if (!Number.isFinite(Number(value))) throw new TypeError(`${this.name}.add(${value})`);
    here().emit(this.name, Number(value), tags);
  }
}

export class Counter extends Metric {}
export class Gauge extends Metric {}
export class Rate extends Metric {}
export class Trend extends Metric {}
