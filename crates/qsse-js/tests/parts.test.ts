/** Parts that need no server. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../src/backoff.js";
import { Code, codeName, isRetryable } from "../src/code.js";
import { CursorSaver } from "../src/cursor_store.js";
import { readBlock } from "../src/http/blocks.js";
import { Failure } from "../src/failure.js";
import { nameProblem } from "../src/names.js";
import { baseOf } from "../src/options.js";
import { idText, parseId } from "../src/position.js";

test("ids have one text", () => {
  assert.equal(idText(1000n, 42n), "G8-42");
  assert.equal(idText(0n, 0n), "0-0");
  const last = (1n << 64n) - 1n;
  assert.equal(idText(last, last), "LygHa16AHYF-18446744073709551615");
  for (const text of ["G8-42", "0-0", "LygHa16AHYF-18446744073709551615"]) {
    const { epoch, seq } = parseId(text) ?? assert.fail(text);
    assert.equal(idText(epoch, seq), text);
  }
  for (const text of ["", "-", "1", "1-", "-1", "01-1", "1-01", "1-1 ", "LygHa16AHYG-1", "é-1"]) {
    assert.equal(parseId(text), undefined, text);
  }
});

test("delays double up to the maximum, and one that is asked for is never shortened", () => {
  const backoff = new Backoff();
  const bounds = Array.from({ length: 9 }, () => {
    const { bound } = backoff;
    assert(backoff.next() <= bound);
    return bound;
  });
  assert.deepEqual(bounds, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  backoff.reset();
  assert.equal(backoff.bound, 100);
  const delay = new Backoff().next(1_000);
  assert(delay >= 1_000 && delay <= 1_500, String(delay));
});

test("codes have the names of the protocol", () => {
  assert.equal(codeName(Code.NOT_AUTHORISED), "not authorised");
  assert.equal(codeName(4711), "code 4711");
  assert(isRetryable(Code.BUSY) && !isRetryable(Code.TOKEN_EXPIRED));
});

test("names are checked as the protocol has them", () => {
  for (const name of ["a", "ride.7.start", "$health", "ä.b", Array(16).fill("a").join(".")]) {
    assert.equal(nameProblem(name, false), undefined, name);
  }
  for (const name of ["", "a.", ".a", "a\u0085b", Array(17).fill("a").join("."), "é".repeat(128)]) {
    assert.notEqual(nameProblem(name, false), undefined, name);
  }
  assert.equal(nameProblem("*.a.*", true), undefined);
  assert.match(nameProblem("*.a", false) ?? "", /publishMatching/);
});

test("a URL may have a path", () => {
  assert.equal(baseOf("https://push.example.org/push/"), "https://push.example.org/push");
  assert.equal(baseOf(new URL("http://localhost:8080")), "http://localhost:8080");
  for (const url of ["", "ws://a", "https://a/?token=x", "https://me@a"]) {
    assert.throws(() => baseOf(url), { reason: "invalid" }, url);
  }
});

test("the end of a stream says what to do", () => {
  const end = (code: number, retry: boolean): Failure => {
    const data = JSON.stringify({ code, message: "", retry });
    try {
      readBlock({ id: "", event: "qsse.end", data }, 70);
    } catch (error) {
      assert(error instanceof Failure);
      return error;
    }
    return assert.fail("it did not end");
  };
  assert.equal(end(Code.TOKEN_EXPIRED, true).kind, "token");
  assert.equal(end(Code.SHUTTING_DOWN, true).kind, "lost");
  assert.equal(end(Code.SHUTTING_DOWN, true).retryAfter, 70);
  assert.equal(end(Code.BUSY, true).kind, "busy");
  assert.equal(end(Code.NOT_AUTHORISED, false).kind, "final");
  assert.equal(end(Code.NOT_AUTHORISED, false).message, "not authorised");
});

test("what cannot be read is no event", () => {
  for (const data of ["", "x", "7", "null"]) {
    const block = { id: "1-1", event: "message", data };
    assert.throws(() => readBlock(block, undefined), { kind: "protocol" }, data);
  }
});

test("a cursor is saved now and then, and at the end", async () => {
  const saved: string[] = [];
  const saver = new CursorSaver({ load: () => null, save: (id) => void saved.push(id) });
  for (let n = 0; n < 1_000; n += 1) {
    saver.save(String(n));
  }
  assert.deepEqual(saved, []);
  saver.end();
  assert.deepEqual(saved, ["999"]);
  saver.end();
  assert.deepEqual(saved, ["999"]);
});
