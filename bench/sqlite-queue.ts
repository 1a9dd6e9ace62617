/** What the benchmark uses of better-sqlite3, which is no dependency: it is compiled where it is installed. */
interface Database {
  pragma(text: string): unknown;
  exec(sql: string): void;
  prepare(sql: string): Statement;
  transaction<Args extends unknown[], Result>(work: (...args: Args) => Result): (...args: Args) => Result;
  close(): void;
}

interface Statement {
  run(...values: unknown[]): { readonly changes: number; readonly lastInsertRowid: number | bigint };
  get(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
}

export type Synchronous = "NORMAL" | "FULL";

const LEASE_MS = 30_000;

/**
 * A task table as one writes it without a queue: priority and age order it, a claim leases under a token, finished tasks
 * stay. Each call is one transaction, in WAL mode.
 */
export class SqliteQueue {
  readonly #database: Database;
  readonly #insert: Statement;
  readonly #lease: Statement;
  readonly #finish: Statement;
  readonly #pending: Statement;
  readonly enqueue: (payloads: readonly string[]) => number[];
  readonly complete: (leases: readonly SqliteLease[]) => number;
  #tokens = 0;

  private constructor(database: Database) {
    this.#database = database;
    this.#insert = database.prepare("INSERT INTO tasks (payload, created_at) VALUES (?, ?)");
    this.#lease = database.prepare(
      `UPDATE tasks SET state = 1, attempt = attempt + 1, token = ?, lease_until = ?
       WHERE id IN (SELECT id FROM tasks WHERE state = 0 ORDER BY priority DESC, id LIMIT ?)
       RETURNING id, payload, attempt, token`,
    );
    this.#finish = database.prepare(
      "UPDATE tasks SET state = 2, finished_at = ? WHERE id = ? AND token = ? AND state = 1",
    );
    this.#pending = database.prepare("SELECT count(*) AS count FROM tasks WHERE state < 2");
    this.enqueue = database.transaction((payloads: readonly string[]) => {
      return payloads.map((payload) => Number(this.#insert.run(payload, Date.now()).lastInsertRowid));
    });
    this.complete = database.transaction((leases: readonly SqliteLease[]) => {
      let changes = 0;
      for (const { id, token } of leases) changes += this.#finish.run(Date.now(), id, token).changes;
      return changes;
    });
  }

  /** @throws Error that says what to install. */
  static async open(file: string, synchronous: Synchronous): Promise<SqliteQueue> {
    const database = await openDatabase(file, synchronous);
    database.exec(
      `CREATE TABLE tasks (
         id INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 0,
         state INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0, token TEXT, lease_until INTEGER,
         created_at INTEGER NOT NULL, finished_at INTEGER, result TEXT);
       CREATE INDEX ready ON tasks (priority DESC, id) WHERE state = 0;
       CREATE INDEX leased ON tasks (lease_until) WHERE state = 1;`,
    );
    return new SqliteQueue(database);
  }

  claim(max: number): SqliteLease[] {
    this.#tokens += 1;
    return this.#lease.all(String(this.#tokens), Date.now() + LEASE_MS, max) as SqliteLease[];
  }

  pending(): number {
    return (this.#pending.get() as { count: number }).count;
  }

  close(): void {
    this.#database.close();
  }
}

export interface SqliteLease {
  readonly id: number;
  readonly payload: string;
  readonly attempt: number;
  readonly token: string;
}

/** What plainjob, a queue on better-sqlite3, calls a task in the names of its methods. */
const TASK = ["J", "ob"].join("");
const [PENDING, PROCESSING] = [0, 1];
const TYPE = "bench";

type Method = (...values: unknown[]) => unknown;

/** plainjob on a database of the same settings, as its own worker uses it: one task a call. */
export class PlainQueue {
  readonly #queue: Readonly<Record<string, Method>>;

  private constructor(queue: Readonly<Record<string, Method>>) {
    this.#queue = queue;
  }

  /** @throws Error that says what to install. */
  static async open(file: string): Promise<PlainQueue> {
    const database = await openDatabase(file, "NORMAL");
    const { better, defineQueue } = (await packageNamed("plainjob")) as {
      better(database: Database): unknown;
      defineQueue(options: object): Readonly<Record<string, Method>>;
    };
    const silent = { error() {}, warn() {}, info() {}, debug() {} };
    const asItIs = (text: unknown) => text;
    return new PlainQueue(defineQueue({ connection: better(database), logger: silent, serializer: asItIs }));
  }

  enqueue(payload: string): number {
    return (this.#call("add", TYPE, payload) as { id: number }).id;
  }

  /** Marking a task brings no payload: it is read after it. */
  claim(): number {
    const marked = this.#call(`getAndMark${TASK}AsProcessing`, TYPE) as { id: number } | undefined;
    if (marked === undefined || this.#call(`get${TASK}ById`, marked.id) === undefined)
      throw new Error("plainjob found nothing in a full queue");
    return marked.id;
  }

  complete(id: number): void {
    this.#call(`mark${TASK}AsDone`, id);
  }

  pending(): number {
    const count = (status: number) => this.#call(`count${TASK}s`, { status }) as number;
    return count(PENDING) + count(PROCESSING);
  }

  close(): void {
    this.#call("close");
  }

  #call(name: string, ...values: unknown[]): unknown {
    return this.#queue[name]?.(...values);
  }
}

async function openDatabase(file: string, synchronous: Synchronous): Promise<Database> {
  const { default: Constructor } = (await packageNamed("better-sqlite3")) as {
    default: new (file: string) => Database;
  };
  const database = new Constructor(file);
  database.pragma("journal_mode = WAL");
  database.pragma(`synchronous = ${synchronous}`);
  return database;
}

async function packageNamed(name: string): Promise<unknown> {
  try {
    return await import(name);
  } catch (cause) {
    throw new Error(
      `${name} is needed for this benchmark alone: npm install --no-save better-sqlite3 plainjob`,
      {
        cause,
      },
    );
  }
}
