// The chat page: one visitor, one conversation, over kefu.v1.json. PROTOCOL.md says what each step is for.
// Top down: the pure parts, which chat.test.js tests; links, one for each transport; the client; the page.

export const number = (value) => Number(value ?? 0); // uint64 is a string; seq and times stay below 2^53
const LASTS_MS = 30_000,
  ACK_MS = 15_000,
  PONG_MS = 10_000,
  KEEP_MS = 6.5 * 864e5,
  IN_FLIGHT = 32;

/** How long to wait before try `n`: full jitter. */
export const backOff = (n, random = Math.random) => random() * Math.min(30_000, 500 * 2 ** n);

/** What a close code asks for: "stop", "now", "token" or "back-off". */
export function closing(code) {
  if ([1000, 1002, 1007, 1009].includes(code)) return 'stop';
  if (code === 4000 || code === 4001) return 'now';
  if (code === 4101 || code === 4102) return 'token';
  return code >= 4100 && code < 4200 ? 'stop' : 'back-off';
}

/** 16 random bytes in base64. */
export const newId = () => btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));

/** What is held of a conversation: the messages of `base` to `cursor`, without a gap. */
export class Log {
  constructor(epoch = '', cursor = null) {
    Object.assign(this, { epoch, cursor, base: (cursor ?? 0) + 1, first: 1, last: 0 });
  }
  /** New messages, oldest first: those to show, and whether something is missing before the others. */
  take(messages) {
    const fresh = [];
    for (const message of messages) {
      const seq = number(message.seq);
      this.last = Math.max(this.last, seq);
      if (this.cursor === null || seq > this.cursor + 1) return { fresh, gap: true };
      if (seq <= this.cursor) continue;
      this.cursor = seq;
      fresh.push(message);
    }
    return { fresh, gap: false };
  }
  /** A Range after the cursor. What retention dropped is no gap. */
  after(range) {
    this.note(range);
    if (this.cursor !== null && this.cursor < this.first - 1) this.cursor = this.first - 1;
    return this.take(range.messages ?? []);
  }
  /** A Range that goes back from `base`, or from the end when nothing is held; oldest first. */
  before(range) {
    this.note(range);
    const older = (range.messages ?? []).filter((one) => this.cursor === null || number(one.seq) < this.base);
    if (this.cursor === null) this.cursor = number(older[0]?.seq ?? 0);
    this.base = older.length ? number(older.at(-1).seq) : Math.max(this.first, 1);
    return older.reverse();
  }
  note({ firstSeq, lastSeq }) {
    this.first = Math.max(this.first, number(firstSeq));
    this.last = Math.max(this.last, number(lastSeq));
  }
  get behind() {
    return this.cursor === null || this.last > this.cursor;
  }
  get hasOlder() {
    return this.cursor !== null && this.base > this.first;
  }
}

/** Changes without an Ack, in the order of their making. They outlive the page, one key each, so that a tab
    may finish what another one began: the same id is stored once. */
export class Outbox {
  constructor(storage, now) {
    this.storage = storage;
    this.entries = Object.keys(storage)
      .filter((key) => key.startsWith('kefu.out.'))
      .map((key) => JSON.parse(storage.getItem(key)))
      .filter((one) => now - one.at < KEEP_MS || this.drop(one.id))
      .map((one) => ({ state: 'queued', ...one }))
      .sort((a, b) => a.at - b.at);
  }
  add(kind, body, now) {
    const entry = { id: newId(), kind, body, at: Math.max(now, (this.entries.at(-1)?.at ?? 0) + 1), state: 'queued' };
    this.entries.push(entry);
    return this.keep(entry);
  }
  keep(entry) {
    const { id, kind, body, at, why } = entry;
    const state = entry.state === 'failed' ? 'failed' : 'queued';
    try {
      this.storage.setItem(`kefu.out.${id}`, JSON.stringify({ id, kind, body, at, why, state }));
    } catch {
      /* full: it lives as long as the page */
    }
    return entry;
  }
  drop(id) {
    this.storage.removeItem(`kefu.out.${id}`);
    if (this.entries) this.entries = this.entries.filter((one) => one.id !== id);
  }
  find(id) {
    return this.entries.find((one) => one.id === id);
  }
  /** What to send now; not past an entry that waits, since order counts. */
  due(now) {
    const sent = this.entries.filter((one) => one.state === 'sent').length,
      due = [];
    for (const entry of this.entries) {
      if (entry.state !== 'queued') continue;
      if (entry.notBefore > now || sent + due.length >= IN_FLIGHT) break;
      due.push(entry);
    }
    return due;
  }
  /** Whatever has no Ack goes again, with its id: the connection is gone, or it took too long. */
  requeue(before = Infinity) {
    for (const one of this.entries) if (one.state === 'sent' && one.sentAt < before) one.state = 'queued';
  }
}

// Links. Each numbers its requests from 1 and ends once, with a close code.

function open(kind, hello, on) {
  let seq = 0,
    over = false,
    carry = () => {},
    hangUp = () => {};
  const link = { kind, spoke: Date.now(), pinged: 0, welcomed: 0, pulls: new Map() };
  const frame = (body) => ({ header: { seq: String(++seq) }, body });
  link.send = (body) => ((link.spoke = Date.now()), carry(frame(body)), seq);
  link.end = (code = 1006, waitMs = 0) => {
    if (over) return;
    over = true;
    clearTimeout(late);
    hangUp(code);
    on.closed(link, code, waitMs);
  };
  const got = ({ header, body }) => {
    if (!over && body) {
      link.pinged = 0;
      on.frame(link, number(header?.seq), body);
    }
  };
  const late = setTimeout(() => link.welcomed || link.end(), 10_000);
  const first = frame({ hello });
  first.header.clientId = on.device;
  ({ carry, hangUp } = kind === 'ws' ? socket(link, first, got) : http(link, first, got));
  return link;
}

function socket(link, hello, got) {
  const ws = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`, ['kefu.v1.json']);
  ws.onopen = () => ws.send(JSON.stringify(hello));
  ws.onmessage = ({ data }) => got(JSON.parse(data));
  ws.onclose = ({ code }) => link.end(code);
  return {
    carry: (frame) => ws.readyState === 1 && ws.send(JSON.stringify(frame)),
    hangUp: () => ws.close(1000),
  };
}

function http(link, hello, got) {
  const stop = new AbortController();
  const queue = [];
  let path = '';
  let posting = false;
  let events;
  const post = (url, body) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: stop.signal,
    });
  const fail = async (answer) => {
    const codes = {
      token_expired: 4102,
      unauthorized: 4101,
      origin_refused: 4105,
      rate_limited: 4003,
      busy: 4003,
      too_large: 4104,
    };
    const text = (await answer.text()).toLowerCase();
    const named = Object.keys(codes).find((name) => text.includes(name));
    link.end(codes[named] ?? 1006, 1000 * number(answer.headers.get('retry-after')));
  };
  const flush = async () => {
    if (posting || !path) return;
    posting = true;
    while (queue.length) {
      const answer = await post(`${path}/frames`, queue.splice(0, IN_FLIGHT));
      if (!answer.ok) return fail(answer);
    }
    posting = false;
  };
  const poll = async () => {
    for (let after = 0; ;) {
      const answer = await fetch(`${path}/poll?after=${after}&wait_ms=25000`, {
        signal: stop.signal,
        cache: 'no-store',
      });
      if (!answer.ok) return fail(answer);
      for (const { id, frame, close } of await answer.json()) {
        if (close) return link.end(close.code);
        after = number(id);
        got(frame);
      }
    }
  };
  const listen = () => {
    events = new EventSource(`${path}/events`);
    events.onmessage = ({ data }) => got(JSON.parse(data));
    events.addEventListener('close', ({ data }) => link.end(JSON.parse(data).code));
    // The browser asks again by itself, with the last id, unless the answer was an error.
    events.onerror = () => events.readyState === EventSource.CLOSED && link.end();
  };
  const broken = () => link.end();
  (async () => {
    const answer = await post('/v1/sessions', hello);
    if (!answer.ok) return fail(answer);
    const welcome = await answer.json();
    path = `/v1/sessions/${encodeURIComponent(welcome.body.welcome.session)}`;
    got(welcome);
    flush().catch(broken);
    return link.kind === 'sse' ? listen() : poll();
  })().catch(broken);
  return {
    carry: (frame) => (queue.push(frame), flush().catch(broken)),
    hangUp: (code) => {
      stop.abort();
      events?.close();
      if (path && code === 1000) fetch(path, { method: 'DELETE', keepalive: true }).catch(() => {});
    },
  };
}

// The client: the way to the server and back to it.

const ORDER = ['ws', 'sse', 'poll'];

class Client {
  link = null; // The one in use.
  next = null; // One that is on its way, perhaps to replace it.
  level = 0; // Which of ORDER.
  tries = 0;
  timer = 0;
  hurried = false; // Whether it came back at once already.
  renewed = false; // Whether the token is new since the last Welcome.
  stopped = 0; // The close code after which it does not come back by itself.
  upAfter = 60_000; // When to try WebSocket again.
  upAt = 0;
  me = null;
  limits = {};
  conversation = null;
  log = new Log();
  reads = 0; // How far the server knows that it was read.

  constructor(show, device, transport) {
    Object.assign(this, { show, device, wanted: ORDER.includes(transport) ? transport : 'auto' });
    this.outbox = new Outbox(localStorage, Date.now());
    setInterval(() => this.tick(Date.now()), 1000);
    addEventListener('online', () => this.hurry());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) {
        this.hurry();
        this.read();
      }
    });
    addEventListener('pagehide', () => this.link?.end(1000));
    addEventListener('pageshow', ({ persisted }) => persisted && this.again());
    this.connect();
  }

  get kind() {
    return this.wanted === 'auto' ? ORDER[this.level] : this.wanted;
  }

  async token(renew) {
    const held = JSON.parse(localStorage.getItem('kefu.token') ?? 'null');
    if (held && !renew && Date.now() < held.renew_ms) return held.token;
    const ask = (path, body) =>
      fetch(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ app_id: 'default', ...body }),
      });
    let answer = held && (await ask('/v1/visitors/renew', { token: held.token }));
    if (!answer?.ok && (!held || answer.status < 429)) answer = await ask('/v1/visitors');
    if (!answer.ok) throw new Error(`no token: ${answer.status}`);
    const given = await answer.json();
    given.renew_ms = (Date.now() + number(given.expires_ms)) / 2;
    localStorage.setItem('kefu.token', JSON.stringify(given));
    return given.token;
  }

  /** Says Hello on a new link; one that is there goes on until the new one is welcome. */
  async connect(kind) {
    clearTimeout(this.timer);
    if (this.next || this.asking) return;
    this.asking = true;
    this.show.link();
    let token;
    try {
      token = await this.token(this.renew);
      this.renew = false;
    } catch {
      /* as a link that failed */
    }
    this.asking = false;
    if (!token) return this.later();
    const { conversation: id, log } = this;
    const cursors =
      id && log.cursor !== null
        ? [{ conversation: id.conversation, seq: String(log.cursor), logEpoch: log.epoch }]
        : [];
    this.next = open(
      kind ?? this.kind,
      { appId: 'default', token, cursors, agent: 'kefu-page/1', lang: this.show.lang() },
      this.ears(),
    );
    this.show.link();
  }

  ears() {
    return {
      device: this.device,
      frame: (link, request, body) => (link === this.link || link === this.next) && this.frame(link, request, body),
      closed: (link, code, waitMs) => this.closed(link, code, waitMs),
    };
  }

  closed(link, code, waitMs) {
    if (link === this.next) {
      this.next = null;
      if (this.link) return this.wanted === 'auto' ? this.show.link() : this.later(waitMs);
      // Refused before anything was said: perhaps by something between here and the server.
      if (code < 4000 && this.wanted === 'auto') this.level = (this.level + 1) % ORDER.length;
    } else if (link === this.link) {
      this.link = null;
      this.outbox.requeue();
      this.show.outbox();
      if (Date.now() - link.welcomed > LASTS_MS) {
        this.tries = 0;
        this.hurried = false;
      }
      // A way on which no answer ever came is of no use, however well it began.
      if (!link.heard && code < 4000 && code !== 1001 && this.wanted === 'auto')
        this.level = (this.level + 1) % ORDER.length;
      if (this.next) return; // It was fenced by the one that follows.
    } else return;
    const what = closing(code);
    if (what === 'stop' || (what === 'token' && this.renewed)) {
      this.stopped = code;
      return this.show.link();
    }
    if (what === 'token') this.renew = this.renewed = true;
    if ((what === 'now' || what === 'token') && !this.hurried) {
      this.hurried = true;
      return this.connect();
    }
    this.later(waitMs);
  }

  later(leastMs = 0) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), leastMs + backOff(this.tries++));
    this.show.link();
  }

  hurry() {
    if (!this.link && !this.next && !this.stopped) this.connect();
  }

  again() {
    this.stopped = this.tries = 0;
    this.hurry();
  }

  /** Another transport, in the middle of whatever is going on. */
  use(transport) {
    this.wanted = transport;
    this.next?.end();
    this.level = this.tries = 0;
    if (this.link?.kind !== this.kind) {
      this.stopped = 0;
      this.connect();
    }
  }

  tick(now) {
    const { link, outbox } = this;
    if (!link) return;
    if (link.pinged && now - link.pinged > PONG_MS) return link.end();
    if (!link.pinged && now - link.spoke >= (number(this.limits.pingEveryMs) || 25_000)) this.ping(now);
    if (outbox.entries.some((one) => one.state === 'sent' && one.sentAt < now - ACK_MS)) {
      outbox.requeue(now - ACK_MS);
      this.show.outbox();
    }
    this.flush(now);
    if (this.conversation && this.log.behind) this.pull(now);
    if (this.wanted === 'auto' && this.level && !this.next && now > this.upAt) {
      this.upAt = now + (this.upAfter = Math.min(2 * this.upAfter, 900_000));
      this.connect('ws');
    }
  }

  ping(now) {
    this.link.send({ ping: { token: String(now) } });
    this.link.pinged = now;
  }

  // What goes out.

  change(kind, body) {
    const entry = this.outbox.add(kind, body, Date.now());
    this.flush();
    this.show.outbox();
    return entry;
  }

  say(text, option) {
    const conversation = this.conversation?.conversation;
    return this.change('send', { ...(conversation && { conversation }), text, ...(option && { option }) });
  }

  retry(entry) {
    this.outbox.drop(entry.id);
    if (entry.code === 'ERROR_CODE_CONFLICT') return this.change(entry.kind, entry.body);
    this.outbox.entries.push(this.outbox.keep({ ...entry, state: 'queued', why: undefined, at: Date.now() }));
    this.flush();
    this.show.outbox();
  }

  flush(now = Date.now()) {
    if (!this.link) return;
    for (const entry of this.outbox.due(now)) {
      Object.assign(entry, { state: 'sent', sentAt: now });
      entry.request = this.link.send({ [entry.kind]: { ...entry.body, clientMsgId: entry.id } });
    }
  }

  /** Asks for what is missing, or for what lies before. One at a time in each direction. */
  pull(now = Date.now(), back = this.log.cursor === null) {
    const { link, log, conversation } = this;
    if (!link || !conversation || [...link.pulls.values()].some((one) => one.back === back && now - one.at < 10_000))
      return;
    const from = log.cursor === null ? log.last + 1 : log.base;
    const where = back ? { beforeSeq: String(from) } : { afterSeq: String(log.cursor) };
    const request = link.send({ pull: { conversation: conversation.conversation, ...where, limit: back ? 50 : 200 } });
    link.pulls.set(request, { back, at: now, log });
  }

  read() {
    const { link, log, conversation } = this;
    if (document.hidden || !link || !conversation || !(log.cursor > this.reads)) return;
    this.reads = log.cursor;
    link.send({ read: { conversation: conversation.conversation, seq: String(log.cursor) } });
  }

  typing(on) {
    if (this.link && this.conversation)
      this.link.send({ typing: { conversation: this.conversation.conversation, on } });
  }

  // What comes in.

  frame(link, request, body) {
    const [[kind, value]] = Object.entries(body);
    const mine = value.conversation === this.conversation?.conversation;
    if (request > 1) link.heard = true;
    switch (kind) {
      case 'welcome':
        return this.welcome(link, value);
      case 'ack':
        return this.ack(value);
      case 'error':
        return this.refused(link, request, value);
      case 'range':
        return mine && this.range(link, request, value);
      case 'deliver':
        if (!this.conversation) this.adopt({ conversation: value.conversation }, 0);
        return value.conversation === this.conversation.conversation && this.took(this.log.take(value.messages ?? []));
      case 'conversation':
        return this.changed(value);
      case 'readState':
        return mine && this.show.readBy(value);
      case 'typingNotice':
        return mine && this.show.typing(value);
    }
  }

  welcome(link, { user, conversations = [], limits = {} }) {
    const old = this.link;
    Object.assign(this, { link, next: null, limits, renewed: false });
    link.welcomed = Date.now();
    old?.end();
    if (link.kind === 'ws') {
      this.level = 0;
      this.upAfter = 60_000;
    }
    this.upAt ||= Date.now() + this.upAfter;
    if (this.me && this.me.id !== user.id) this.forget();
    this.me = user;
    const [newest] = conversations;
    if (newest) this.changed(newest, true);
    this.outbox.requeue();
    this.flush();
    this.ping(Date.now()); // Does what the server says arrive?
    this.show.link();
  }

  /** Another visitor, since the server did not know the one from before. */
  forget() {
    this.conversation = null;
    for (const entry of this.outbox.entries) delete entry.body.conversation;
    this.show.clear();
  }

  adopt(conversation, cursor = null) {
    this.conversation = conversation;
    this.log = new Log(conversation.logEpoch ?? '', cursor);
    this.reads = 0;
    this.show.clear();
  }

  changed(now, newest = false) {
    const held = this.conversation;
    const same = held?.conversation === now.conversation;
    if (held && !same && !newest && number(now.openedAtMs) <= number(held.openedAtMs)) return;
    if (!same) this.adopt(now);
    else this.epoch(now.logEpoch);
    const { queuePosition, queueWaitMs } = (same && held) || {};
    // Who still waits, without being told where, waits where it was.
    this.conversation = now.owner?.holder === 'HOLDER_QUEUE' ? { queuePosition, queueWaitMs, ...now } : now;
    this.log.note(now);
    this.reads = Math.max(this.reads, number(now.readSeq));
    if (this.log.cursor === null) this.pull();
    this.show.state();
  }

  epoch(epoch = '') {
    if (epoch && this.log.epoch && epoch !== this.log.epoch) this.adopt({ ...this.conversation, logEpoch: epoch });
    this.log.epoch ||= epoch;
  }

  ack({ conversation, clientMsgId, seq, atMs, logEpoch }) {
    const entry = clientMsgId && this.outbox.find(clientMsgId);
    if (!entry) return; // A Read, or a second Ack.
    this.outbox.drop(entry.id);
    if (!this.conversation) this.adopt({ conversation, logEpoch }, 0);
    if (this.conversation.conversation === conversation) {
      this.epoch(logEpoch);
      const { kind, body } = entry;
      const content =
        kind === 'send' ? { text: { text: body.text } } : kind === 'edit' ? { edited: body } : { recalled: body };
      this.took(this.log.take([{ seq, atMs, sender: this.me, clientMsgId, ...content }]));
    }
    this.flush();
    this.show.outbox();
  }

  refused(link, request, { code, message, retryable, retryAfterMs, clientMsgId }) {
    const entry = this.outbox.entries.find(
      (one) => one.id === clientMsgId || (one.state === 'sent' && one.request === request && link === this.link),
    );
    link.pulls.delete(request);
    if (!entry) return;
    const wait = number(retryAfterMs) + backOff((entry.tries = (entry.tries ?? 0) + 1));
    Object.assign(
      entry,
      retryable ? { state: 'queued', notBefore: Date.now() + wait } : { state: 'failed', why: message, code },
    );
    this.outbox.keep(entry);
    this.show.outbox();
  }

  range(link, request, range) {
    const asked = link.pulls.get(request);
    link.pulls.delete(request);
    this.epoch(range.logEpoch);
    if (asked && asked.log !== this.log) return;
    if (asked?.back) {
      const older = this.log.before(range);
      this.show.older(older);
      if (this.log.behind) this.pull();
      this.read();
    } else this.took(this.log.after(range), range.hasMore);
  }

  took({ fresh, gap }, more = false) {
    if (fresh.length) this.show.messages(fresh);
    if (gap || more) this.pull();
    this.read();
  }
}

// The page. What people wrote gets in by textContent alone.

const WORDS = {
  zh: {
    title: 'Kefu 客服',
    hello: '您好，有什么可以帮您？',
    try: '试试这些问题',
    write: '输入消息',
    send: '发送',
    save: '保存',
    cancel: '取消',
    edit: '修改',
    recall: '撤回',
    retry: '重试',
    discard: '删除',
    editing: '正在修改消息',
    older: '更早的消息',
    bottom: '有新消息 ↓',
    queued: '等待发送',
    sending: '发送中',
    failed: '未送达',
    sent: '已送达',
    read: '已读',
    edited: '已修改',
    recalled: '消息已撤回',
    typing: '对方正在输入…',
    bot: '机器人',
    agent: '客服',
    you: '我',
    queue: '排队中',
    place: (n) => `第 ${n} 位`,
    wait: (n) => `约 ${n} 分钟`,
    nobody: '暂无人接待',
    states: ['空闲', '等待回复', '处理中', '等您回答'],
    steps: '显示对话步骤',
    transport: '连接方式',
    auto: '自动',
    poll: '长轮询',
    on: '已连接',
    trying: '连接中',
    off: '已断开',
    again: '重新连接',
    stopped: (code) => `已结束（${code}）`,
    log: '聊天记录',
    state: '对话状态',
    took: (who) => `${who} 为您服务`,
    queued_for: '正在为您转接人工客服',
    back: '机器人继续为您服务',
    resolved: '本次会话已结束，再发消息即可重新开始',
    actions: { requested: '已提交，正在办理', done: '办理完成', failed: '办理失败' },
    language: 'English',
    ask: ['我的快递怎么还没到', '取消订单', '可以开发票吗', '我要退款', '转人工'],
  },
  en: {
    title: 'Kefu support',
    hello: 'Hello! How can we help?',
    try: 'Try one of these',
    write: 'Write a message',
    send: 'Send',
    save: 'Save',
    cancel: 'Cancel',
    edit: 'Edit',
    recall: 'Take back',
    retry: 'Retry',
    discard: 'Delete',
    editing: 'Editing a message',
    older: 'Earlier messages',
    bottom: 'New messages ↓',
    queued: 'waiting',
    sending: 'sending',
    failed: 'not sent',
    sent: 'sent',
    read: 'read',
    edited: 'edited',
    recalled: 'Message taken back',
    typing: 'Typing…',
    bot: 'Bot',
    agent: 'Agent',
    you: 'You',
    queue: 'In the queue',
    place: (n) => `no. ${n}`,
    wait: (n) => `about ${n} min`,
    nobody: 'Nobody here',
    states: ['Idle', 'Received', 'Processing', 'Your answer'],
    steps: 'Show the steps of the dialogue',
    transport: 'Connection',
    auto: 'Automatic',
    poll: 'Long-poll',
    on: 'connected',
    trying: 'connecting',
    off: 'offline',
    again: 'Reconnect',
    stopped: (code) => `ended (${code})`,
    log: 'Conversation',
    state: 'State of the dialogue',
    took: (who) => `${who} is with you now`,
    queued_for: 'You will be connected to a person',
    back: 'The bot is with you again',
    resolved: 'This is closed; write again to go on',
    actions: { requested: 'Submitted, in progress', done: 'Done', failed: 'Failed' },
    language: '中文',
    ask: ['where is my order', 'cancel my order', 'can I get an invoice', 'I want a refund', 'talk to a human'],
  },
};
const STATES = ['Idle', 'WaitingReply', 'Processing', 'WaitingConfirm'];
const state = (name = '') =>
  Math.max(0, ['IDLE', 'WAITING_REPLY', 'PROCESSING', 'WAITING_CONFIRM'].indexOf(name.replace('DIALOGUE_STATE_', '')));

function make(tag, props = {}, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children.filter(Boolean));
  return node;
}

function start() {
  const $ = (id) => document.getElementById(id);
  const log = $('log'),
    scroll = $('scroll'),
    pending = $('pending'),
    text = $('text');
  const items = new Map();
  let words,
    lang,
    client,
    editing = null,
    readBy = 0,
    typed = 0,
    typingEnds = 0;

  // Who this is: a tab is a device of its own, so that tabs do not fence each other.
  // Two names with a dot between them must fit into the 64 bytes of a client_id.
  const newName = () =>
    [...crypto.getRandomValues(new Uint32Array(3))].map((n) => n.toString(36)).join('');
  const stored = (storage, key) =>
    storage.getItem(key) ?? (storage.setItem(key, newName()), storage.getItem(key));
  const device = async () => {
    for (;;) {
      const name = `${stored(localStorage, 'kefu.device')}.${stored(sessionStorage, 'kefu.tab')}`;
      const free = await new Promise(
        (done) =>
          navigator.locks?.request(
            name,
            { ifAvailable: true },
            (lock) => (done(lock), lock && new Promise(() => {})),
          ) ?? done(true),
      );
      if (free) return name;
      sessionStorage.removeItem('kefu.tab'); // The copy of a tab goes on as another device.
    }
  };

  function speak(to) {
    lang = to;
    words = WORDS[lang];
    localStorage.setItem('kefu.lang', lang);
    document.documentElement.lang = lang === 'zh' ? 'zh-CN' : 'en';
    document.title = words.title;
    for (const node of document.querySelectorAll('[data-w]')) node.textContent = words[node.dataset.w];
    for (const node of document.querySelectorAll('[data-label]'))
      node.setAttribute('aria-label', words[node.dataset.label]);
    text.placeholder = words.write;
    $('states').replaceChildren(...words.states.map((word, i) => make('li', { textContent: word, title: STATES[i] })));
    $('ask').replaceChildren(
      ...words.ask.map((say) => make('button', { type: 'button', textContent: say, onclick: () => client.say(say) })),
    );
    quietly(() => items.forEach(draw));
    if (client) {
      show.state();
      show.link();
      show.outbox();
    }
    compose();
  }

  const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  const toEnd = () => {
    scroll.scrollTop = scroll.scrollHeight;
    $('bottom').hidden = true;
  };
  /** Changes what is shown and stays at the end, or where the reader is. */
  function still(change, own) {
    const end = own || atEnd();
    change();
    if (end) toEnd();
  }

  /** Changes the log without having it read out. */
  function quietly(change) {
    log.setAttribute('aria-live', 'off');
    change();
    requestAnimationFrame(() => log.setAttribute('aria-live', 'polite'));
  }

  const button = (word, onclick) => make('button', { type: 'button', textContent: words[word], onclick });
  const clock = (at) =>
    make('time', {
      textContent: new Date(number(at)).toLocaleTimeString(lang, { hour: '2-digit', minute: '2-digit' }),
    });

  /** What a message shows, or nothing. */
  function draw(item) {
    const { li, role, mine } = item;
    if (item.notice) {
      li.className = `notice ${item.step ? 'step' : ''}`;
      li.textContent = item.notice();
      return;
    }
    li.className = `message ${mine ? 'mine' : role} ${item.recalled ? 'recalled' : ''} kind-${item.kind}`;
    const who = mine ? words.you : item.name && role === 'agent' ? item.name : (words[role] ?? words.bot);
    const marks = [
      clock(item.at),
      item.edited && !item.recalled && words.edited,
      mine && (item.seq <= readBy ? words.read : words.sent),
    ];
    const meta = make('small', {}, who, ...marks.filter(Boolean).flatMap((mark) => [' · ', mark]));
    const acts =
      mine &&
      !item.recalled &&
      make(
        'span',
        { className: 'acts' },
        button('edit', () => edit(item)),
        button('recall', () => change('recall', item)),
      );
    li.replaceChildren(
      make('p', { textContent: item.recalled ? words.recalled : item.text }),
      make('footer', {}, meta, acts),
    );
  }

  function read(message, live) {
    const seq = number(message.seq),
      { text: said, edited, recalled, event, sender = {} } = message;
    const target = items.get(number((edited ?? recalled)?.seq));
    if (target) {
      // A message that was pulled is as it is now; an earlier text must not come back.
      if (edited && live && !target.recalled) target.text = edited.text;
      Object.assign(target, edited ? { edited: true } : { recalled: true });
      if (target.li) draw(target);
    }
    if (said) {
      return {
        seq,
        at: message.atMs,
        name: sender.name,
        role: (sender.role ?? '').replace('ROLE_', '').toLowerCase(),
        mine: sender.role === 'ROLE_VISITOR',
        text: said.text ?? '',
        kind: (said.kind ?? '').replace('KIND_', '').toLowerCase(),
        options: said.options ?? [],
        recalled: number(said.recalledBy) > 0,
      };
    }
    const notice = event && happened(event);
    return notice && { seq, ...notice };
  }

  function happened({ owner, status, dialogue, action }) {
    if (dialogue)
      return {
        step: true,
        notice: () => [dialogue.before, dialogue.after].map((one) => words.states[state(one)]).join(' → '),
      };
    if (action) return { notice: () => words.actions[action.state] ?? action.state };
    if (status?.after === 'STATUS_RESOLVED') return { notice: () => words.resolved };
    const holder = owner?.after?.holder;
    if (holder === 'HOLDER_AGENT') return { notice: () => words.took(owner.after.agent?.name || words.agent) };
    if (holder === 'HOLDER_QUEUE') return { notice: () => words.queued_for };
    if (holder === 'HOLDER_BOT' && owner.before?.holder) return { notice: () => words.back };
    return null;
  }

  const place = (item) => (items.set(item.seq, item), (item.li = make('li')), draw(item), item.li);

  /** The choices of the last message, while nothing was said after it. */
  function choices() {
    const last = [...items.values()].filter((one) => !one.notice).at(-1);
    const waits = client.outbox.entries.some((one) => one.kind === 'send');
    const options = waits || !last || last.mine || last.recalled ? [] : last.options;
    const confirm = last?.kind === 'confirm' && options.length === 2;
    $('choices').className = confirm ? 'confirm' : '';
    $('choices').replaceChildren(
      ...options.map(({ id, label }, i) =>
        make('button', {
          type: 'button',
          textContent: label,
          className: confirm ? ['yes', 'no'][i] : '',
          onclick: () => {
            client.say(label, id);
            text.focus();
          },
        }),
      ),
    );
  }

  function change(kind, { seq }, more = {}) {
    client.change(kind, { conversation: client.conversation.conversation, seq: String(seq), ...more });
  }

  function edit(item) {
    editing = item;
    text.value = item.text;
    compose();
    text.focus();
  }

  function compose() {
    $('editing').hidden = !editing;
    $('send').textContent = editing ? words.save : words.send;
    text.style.height = '';
    text.style.height = `${Math.min(text.scrollHeight + 2, 160)}px`;
  }

  function submit() {
    const said = text.value.trim();
    if (!said) return;
    if (editing) {
      if (said !== editing.text) change('edit', editing, { text: said });
    } else client.say(said);
    text.value = '';
    editing = null;
    typed = 0;
    compose();
    toEnd();
  }

  const show = {
    lang: () => lang,
    link() {
      const { link, stopped, kind } = client ?? {};
      const names = { ws: 'WebSocket', sse: 'SSE', poll: words.poll };
      const up = link ? 'on' : stopped ? 'stopped' : client?.next || client?.asking ? 'trying' : 'off';
      $('link').className = up;
      $('link').textContent = link ? names[link.kind] : up === 'stopped' ? words.stopped(stopped) : words[up];
      $('link').title = link ? words.on : (names[kind] ?? '');
      $('again').hidden = up !== 'stopped' && up !== 'off';
    },
    state() {
      const { dialogue, owner = {}, queuePosition, queueWaitMs } = client.conversation ?? {};
      [...$('states').children].forEach((li, i) =>
        i === state(dialogue) ? li.setAttribute('aria-current', 'step') : li.removeAttribute('aria-current'),
      );
      const wait = number(queueWaitMs) && words.wait(Math.ceil(number(queueWaitMs) / 60_000));
      const held = {
        HOLDER_QUEUE: [words.queue, queuePosition && words.place(queuePosition), wait].filter(Boolean).join(' · '),
        HOLDER_NOBODY: words.nobody,
      };
      const agent = owner.holder === 'HOLDER_AGENT';
      $('owner').textContent = held[owner.holder] ?? (agent ? `${words.agent} ${owner.agent?.name ?? ''}` : words.bot);
      $('owner').className = agent ? 'agent' : owner.holder === 'HOLDER_QUEUE' ? 'queue' : 'bot';
      show.waiting();
    },
    waiting() {
      $('typing').classList.toggle('on', Date.now() < typingEnds || state(client.conversation?.dialogue) === 2);
    },
    messages(fresh) {
      let own = false;
      const end = atEnd();
      still(() => {
        for (const message of fresh) {
          const item = read(message, true);
          if (!item) continue;
          log.append(place(item));
          own ||= item.mine;
          if (!item.mine && !item.notice) {
            typingEnds = 0;
            if (!end) $('bottom').hidden = false;
          }
        }
        choices();
        show.waiting();
        show.welcome();
      }, own);
    },
    older(messages) {
      const height = scroll.scrollHeight,
        first = !items.size,
        later = [...items];
      items.clear();
      quietly(() =>
        log.prepend(
          ...messages
            .map((message) => read(message, false))
            .filter(Boolean)
            .map(place),
        ),
      );
      for (const message of messages) read(message, false); // What is placed now may have been edited.
      for (const [seq, item] of later) items.set(seq, item);
      if (first) toEnd();
      else scroll.scrollTop += scroll.scrollHeight - height;
      choices();
      show.welcome();
    },
    clear() {
      items.clear();
      log.replaceChildren();
      readBy = 0;
      editing = null;
      show.welcome();
      show.state();
      choices();
      compose();
    },
    welcome() {
      $('older').hidden = !client.log.hasOlder;
      $('welcome').hidden = client.log.hasOlder;
    },
    readBy({ user, seq }) {
      if (user?.role === 'ROLE_VISITOR') return;
      readBy = Math.max(readBy, number(seq));
      quietly(() => items.forEach((item) => item.mine && draw(item)));
    },
    typing({ user, on }) {
      if (user?.role === 'ROLE_VISITOR') return;
      typingEnds = on ? Date.now() + 6000 : 0;
      show.waiting();
      setTimeout(show.waiting, 6100);
    },
    outbox() {
      still(
        () => {
          pending.replaceChildren(
            ...client.outbox.entries.map((entry) => {
              const failed = entry.state === 'failed',
                offline = entry.state === 'queued';
              const what = entry.body.text ?? words.recall;
              const meta = make(
                'small',
                {},
                entry.kind === 'send' ? '' : `${words[entry.kind]} · `,
                failed ? `${words.failed}: ${entry.why ?? ''}` : offline ? words.queued : words.sending,
              );
              const acts =
                failed &&
                make(
                  'span',
                  { className: 'acts' },
                  button('retry', () => client.retry(entry)),
                  button('discard', () => {
                    client.outbox.drop(entry.id);
                    show.outbox();
                  }),
                );
              return make(
                'li',
                { className: `message mine ${entry.state}` },
                make('p', { textContent: what }),
                make('footer', {}, meta, acts),
              );
            }),
          );
          choices();
        },
        client.outbox.entries.some((one) => one.kind === 'send' && one.state !== 'failed'),
      );
    },
  };

  $('form').onsubmit = (event) => {
    event.preventDefault();
    submit();
  };
  $('cancel').onclick = () => {
    editing = null;
    text.value = '';
    compose();
    text.focus();
  };
  $('language').onclick = () => speak(lang === 'zh' ? 'en' : 'zh');
  $('again').onclick = () => client.again();
  $('older').onclick = () => client.pull(Date.now(), true);
  $('bottom').onclick = toEnd;
  $('steps').onchange = ({ target }) => log.classList.toggle('no-steps', !target.checked);
  for (const radio of document.querySelectorAll('[name=transport]')) radio.onchange = () => client.use(radio.value);
  document.onkeydown = ({ key }) => {
    if (key === 'Escape') {
      $('menu').open = false;
      if (editing) $('cancel').click();
    }
  };
  document.onclick = ({ target }) => {
    if (!$('menu').contains(target)) $('menu').open = false;
  };
  scroll.onscroll = () => {
    if (atEnd()) $('bottom').hidden = true;
    if (scroll.scrollTop < 60 && client?.log.hasOlder) client.pull(Date.now(), true);
  };
  text.onkeydown = (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  };
  text.oninput = () => {
    compose();
    if (!editing && Date.now() - typed > 3000) {
      typed = Date.now();
      client.typing(true);
    }
  };

  const transport = new URLSearchParams(location.search).get('transport') ?? 'auto';
  const chosen = document.querySelector(`[name=transport][value="${CSS.escape(transport)}"]`);
  if (chosen) chosen.checked = true;
  speak(localStorage.getItem('kefu.lang') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en'));
  device().then((name) => {
    client = new Client(show, name, transport);
    show.state();
    show.outbox();
    show.link();
  });
  if (matchMedia('(hover: hover)').matches) text.focus();
}

if (globalThis.document) start();
