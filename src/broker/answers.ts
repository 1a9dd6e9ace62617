import { DibsError, StorageUnavailableError } from "../task/errors.ts";

/** Takes the answers to things that a caller asked, each by its place among them. */
export interface Answers<T> {
  take(answer: T | DibsError, place: number): void;
}

/** The answer to one thing. Rejects when it is an error. */
export class OneAnswer<T> implements Answers<T> {
  readonly promise: Promise<T>;
  #resolve!: (answer: T) => void;
  #reject!: (error: DibsError) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  take(answer: T | DibsError): void {
    if (answer instanceof DibsError) this.#reject(answer);
    else this.#resolve(answer);
  }
}

/**
 * The answers to many things, in the order asked. An error is one thing's own, except that the promise
 * rejects when the storage failed for all: then nothing at all was acknowledged.
 */
export class ManyAnswers<T> implements Answers<T> {
  readonly promise: Promise<(T | DibsError)[]>;
  readonly #answers: (T | DibsError)[];
  #missing: number;
  #resolve!: (answers: (T | DibsError)[]) => void;
  #reject!: (error: DibsError) => void;

  constructor(count: number) {
    this.#answers = new Array(count);
    this.#missing = count;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (count === 0) this.#resolve(this.#answers);
  }

  take(answer: T | DibsError, place: number): void {
    this.#answers[place] = answer;
    this.#missing -= 1;
    if (this.#missing > 0) return;
    const [first] = this.#answers;
    if (first instanceof StorageUnavailableError && this.#answers.every(isUnavailable)) this.#reject(first);
    else this.#resolve(this.#answers);
  }
}

function isUnavailable(answer: unknown): boolean {
  return answer instanceof StorageUnavailableError;
}
