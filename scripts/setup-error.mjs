/** A failure of set-up that the reader can act on: shown as its message, without a stack. */
export class SetupError extends Error {}
