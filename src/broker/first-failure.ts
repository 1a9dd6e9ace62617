/**
 * Does work for many queues of which some may be out of reach: what fails for one is kept, and thrown when all had
 * their turn. In a cluster with a node down the queues of the others go on.
 */
export class FirstFailure {
  #failure: { readonly error: unknown } | undefined;

  async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  throwIfAny(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
