// The pure parts of chat.js: `node --test web/chat/`.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Log, Outbox, backOff, closing, newId } from './chat.js';

const messages = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => ({ seq: String(from + i) }));
const seqs = (list) => list.map((one) => Number(one.seq));

class Storage {
  getItem(key) {
    return this[key] ?? null;
  }
  setItem(key, value) {
    this[key] = value;
  }
  removeItem(key) {
    delete this[key];
  }
}

test('messages are applied once, in order, and nothing above a gap', () => {
  const log = new Log('1', 0);
  assert.deepEqual(seqs(log.take(messages(1, 3)).fresh), [1, 2, 3]);
  assert.deepEqual(log.take(messages(2, 4)), { fresh: [{ seq: '4' }], gap: false });
  assert.deepEqual(log.take(messages(6, 7)), { fresh: [], gap: true });
  assert.equal(log.cursor, 4);
  assert.ok(log.behind);
  const range = { messages: messages(5, 7), firstSeq: '1', lastSeq: '7' };
  assert.deepEqual(seqs(log.after(range).fresh), [5, 6, 7]);
  assert.ok(!log.behind);
});

test('any order and repetition of deliveries, with pulls, shows the log', () => {
  for (let round = 0; round < 200; round += 1) {
    const log = new Log('1', 0),
      shown = [];
    while (log.cursor < 20) {
      const from = 1 + Math.floor(Math.random() * 20);
      const { fresh, gap } = log.take(messages(from, Math.min(20, from + Math.floor(Math.random() * 5))));
      shown.push(...fresh);
      if (gap && Math.random() < 0.5) {
        const to = Math.min(20, log.cursor + 3);
        shown.push(...log.after({ messages: messages(log.cursor + 1, to), lastSeq: '20' }).fresh);
      }
    }
    assert.deepEqual(seqs(shown), seqs(messages(1, 20)));
  }
});

test('what retention dropped is no gap', () => {
  const log = new Log('1', 2);
  assert.deepEqual(log.after({ messages: messages(8, 9), firstSeq: '8', lastSeq: '9' }), {
    fresh: messages(8, 9),
    gap: false,
  });
});

test('history goes back to the first message that is kept', () => {
  const log = new Log();
  assert.ok(log.take(messages(9, 9)).gap, 'nothing is shown before the newest page came');
  const page = (from, to) => ({ messages: messages(from, to).reverse(), firstSeq: '3', lastSeq: '9' });
  assert.deepEqual(seqs(log.before(page(7, 9))), [7, 8, 9]);
  assert.equal(log.cursor, 9);
  assert.deepEqual(seqs(log.before(page(5, 8))), [5, 6], 'what is held is not shown again');
  assert.ok(log.hasOlder);
  log.before(page(3, 4));
  assert.ok(!log.hasOlder);
});

test('an outbox outlives its page, in order, with the same ids', () => {
  const storage = new Storage();
  const box = new Outbox(storage, 1000);
  const made = ['a', 'b', 'c'].map((text) => box.add('send', { text }, 1000));
  made[1].state = 'failed';
  box.keep(made[1]);
  const again = new Outbox(storage, 2000);
  assert.deepEqual(
    again.entries.map((one) => [one.id, one.body.text]),
    made.map((one) => [one.id, one.body.text]),
  );
  assert.deepEqual(
    again.due(2000).map((one) => one.body.text),
    ['a', 'c'],
  );
  again.drop(made[0].id);
  assert.equal(new Outbox(storage, 2000).entries.length, 2);
  assert.equal(new Outbox(storage, 8 * 864e5).entries.length, 0, 'ids are forgotten after seven days');
  assert.equal(Object.keys(storage).length, 0);
});

test('what has no ack goes again, and nothing overtakes a message that must wait', () => {
  const box = new Outbox(new Storage(), 0);
  const [first, second] = ['a', 'b'].map((text) => box.add('send', { text }, 0));
  Object.assign(first, { state: 'sent', sentAt: 0 });
  box.requeue(15_000);
  assert.deepEqual(box.due(0), [first, second]);
  first.notBefore = 500;
  assert.deepEqual(box.due(0), []);
  assert.deepEqual(box.due(500), [first, second]);
});

test('close codes and back-off are those of PROTOCOL.md', () => {
  const classes = {
    stop: [1000, 1002, 1007, 1009, 4100, 4103, 4104, 4105, 4106, 4199],
    now: [4000, 4001],
    token: [4101, 4102],
    'back-off': [1001, 1006, 1011, 4002, 4003, 4004, 4999],
  };
  for (const [name, codes] of Object.entries(classes))
    for (const code of codes) assert.equal(closing(code), name, code);
  assert.equal(
    backOff(0, () => 1),
    500,
  );
  assert.equal(
    backOff(20, () => 1),
    30_000,
  );
  assert.equal(
    backOff(20, () => 0),
    0,
  );
  assert.equal(atob(newId()).length, 16);
});
