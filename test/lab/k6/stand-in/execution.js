import { here } from "./here.js";

export const scenario = {
  get name() {
    return here().scenario.name;
  },
  /** 0 to 1. */
  get progress() {
    return here().progress();
  },
  get iterationInTest() {
    return here().iteration;
  },
};

export const vu = {
  get idInTest() {
    return here().id;
  },
};

export default { scenario, vu };
