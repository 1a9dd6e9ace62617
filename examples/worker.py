#!/usr/bin/env python3
"""A Dibs worker with nothing but Python's standard library (3.8 or later): size and SHA-256 of files.

    DIBS_URL=http://127.0.0.1:4510 python3 worker.py digests
    npx dibs enqueue digests '{"path":"/etc/hosts"}'

It waits at the server for tasks, renews the lease in a thread while it works, nacks on an exception, and ends
after the task in hand on SIGTERM or Ctrl-C. For more tasks at a time start it more than once.
To make a worker of your own, change `work`.
"""
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback
from urllib.parse import quote, urlsplit

URL = urlsplit(os.environ.get("DIBS_URL", "http://127.0.0.1:4510"))
TOKEN = os.environ.get("DIBS_TOKEN")
WAIT_S = 20  # How long the server may hold a claim; 60 at most.
CALL_S = 10  # How long any other call may take.


class Refuse(Exception):
    """Raised by `work` when a retry is useless: the task goes to the dead letters now."""


class Refused(Exception):
    """The server said no. `code` is stable: lease_lost, task_not_found, storage_unavailable, ..."""

    def __init__(self, status, error):
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.status = status
        self.code = error.get("code")

    @property
    def may_pass(self):
        return self.status >= 500 or self.status == 429


def work(payload, lease):
    """Does the work of one task and returns its result, anything that JSON can say."""
    if not isinstance(payload, dict) or not isinstance(payload.get("path"), str):
        raise Refuse('the payload is not {"path": "..."}')
    if not os.path.exists(payload["path"]):
        raise Refuse(f"there is no {payload['path']}")
    digest, size = hashlib.sha256(), 0
    with open(payload["path"], "rb") as file:
        while True:
            chunk = file.read(1 << 20)
            if not chunk:
                return {"bytes": size, "sha256": digest.hexdigest()}
            if lease.lost.is_set():  # Somebody else may have the task by now: stop.
                raise InterruptedError("the lease is lost")
            digest.update(chunk)
            size += len(chunk)


def call(method, path, body=None, timeout=CALL_S, opened=lambda connection: None):
    """One request. Raises Refused for an error of the server, OSError or HTTPException when it is away."""
    secure = URL.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(URL.hostname, URL.port, timeout=timeout)
    try:
        connection.connect()
        opened(connection)
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if TOKEN:
            headers["Authorization"] = f"Bearer {TOKEN}"
        connection.request(method, URL.path.rstrip("/") + path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status == 204:
            return None
        try:
            value = json.loads(text)
        except ValueError:
            value = {"error": {"code": "no_json", "message": text[:200].decode("utf-8", "replace")}}
        if answer.status >= 400:
            raise Refused(answer.status, value.get("error", {}))
        return value
    finally:
        connection.close()


AWAY = (OSError, http.client.HTTPException)


class Lease:
    """A claimed task. Its lease is renewed at a third of its length until `end`."""

    def __init__(self, task, received):
        self.task = task
        self.token = task["lease"]["token"]
        self.seconds = task["lease"]["ms"] / 1000
        # Counted from our own clock, so that it does not matter what the server's says; a tenth to be safe.
        self.ends = received + 0.9 * self.seconds
        self.lost = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def path(self, verb):
        return f"/v1/tasks/{quote(self.task['id'], safe='~')}/{verb}"

    def _renew(self):
        pause = self.seconds / 3
        while not self._done.wait(pause):
            began = time.monotonic()
            try:
                timeout = min(CALL_S, self.seconds / 3)
                call("POST", self.path("heartbeat"), {"leaseToken": self.token}, timeout)
                self.ends = began + 0.9 * self.seconds
                pause = self.seconds / 3
            except Refused as error:
                if not error.may_pass:  # lease_lost: expired, cancelled, or taken by an operator.
                    self.lost.set()
                    return
                pause = min(1, self.seconds / 10)
            except AWAY:
                pause = min(1, self.seconds / 10)
            if time.monotonic() >= self.ends:
                self.lost.set()
                return

    def end(self, verb, body):
        """Settles the task. Tries until the lease ends: the same call again gets the same answer."""
        body = {"leaseToken": self.token, **body}
        try:
            for attempt in range(1000):
                try:
                    return call("POST", self.path(verb), body)
                except Refused as error:
                    if not error.may_pass:
                        raise
                    problem = error
                except AWAY as error:
                    problem = error
                if self.lost.is_set():
                    raise problem
                time.sleep(backoff(attempt, 2))
        finally:
            self._done.set()
            self._thread.join()


class Worker:
    def __init__(self, queue):
        self.queue = queue
        self.stopping = False
        self._waiting = None  # The connection of the claim that waits at the server.

    def run(self):
        failures = 0
        while not self.stopping:
            try:
                lease = self.claim()
            except (Refused, *AWAY) as error:
                if self.stopping:
                    break
                if isinstance(error, Refused) and not error.may_pass:
                    sys.exit(str(error))  # A wrong queue name or token: waiting does not help.
                say(f"No claim from {URL.netloc}: {error or type(error).__name__}")
                self.rest(backoff(failures, 10))
                failures += 1
                continue
            failures = 0
            if lease is None:
                continue
            if self.stopping:  # Told to stop in the moment when the task came: back to the head, uncounted.
                self.settle(lease, "release", {})
            else:
                self.do(lease)

    def claim(self):
        body = {"queues": [self.queue], "waitMs": WAIT_S * 1000, "worker": f"python:{os.getpid()}"}

        def waits(connection):
            self._waiting = connection
            if self.stopping:
                raise InterruptedError("told to stop")

        try:
            # Longer than the wait, so that a dead connection is noticed and never waited for.
            answer = call("POST", "/v1/claims", body, WAIT_S + 15, waits)
        finally:
            self._waiting = None
        return None if answer is None else Lease(answer["tasks"][0], time.monotonic())

    def do(self, lease):
        try:
            result = work(lease.task["payload"], lease)
        except Refuse as error:
            self.settle(lease, "nack", {"error": str(error)[:2000], "retry": False})
        except Exception as error:
            # The message first: listings show the first line.
            text = f"{type(error).__name__}: {error}\n{traceback.format_exc()[-2000:]}"
            self.settle(lease, "nack", {"error": text})
        else:
            self.settle(lease, "complete", {"result": result})

    def settle(self, lease, verb, body):
        task_id = lease.task["id"]
        try:
            say(f"{task_id} is {lease.end(verb, body)['state']}")
        except Refused as error:
            say(f"{task_id} could not be settled: {error}")
            # An answer that the server cannot take (too large, say) is a failure of the attempt.
            if verb == "complete" and error.code in ("payload_too_large", "invalid_request"):
                self.settle(lease, "nack", {"error": str(error)[:2000]})
        except AWAY as error:
            say(f"{task_id} could not be settled before its lease ended: {error}")

    def rest(self, seconds):
        end = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < end:
            time.sleep(0.1)

    def stop(self, *_):
        self.stopping = True
        if self._waiting is not None:
            # Ends the wait. The server sees it and gives back at once whatever it was handing over.
            try:
                self._waiting.sock.shutdown(socket.SHUT_RDWR)
            except (AttributeError, OSError):
                pass  # Closed already.


def backoff(failures, most_s):
    """Between half of it and all of it, so that many workers do not come back in the same moment."""
    return min(most_s, 0.1 * 2 ** min(failures, 20)) * random.uniform(0.5, 1)


def say(line):
    print(line, flush=True)


if __name__ == "__main__":
    worker = Worker(sys.argv[1] if len(sys.argv) > 1 else "digests")
    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    say(f"Working on {worker.queue} at {URL.geturl()}")
    worker.run()
